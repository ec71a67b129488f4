/** Times on the device: work is recorded once, replayed many times, and timed by the device's own events. */
import * as tf from '@tensorflow/tfjs-core';

import type {Capture, SpecAttnBackend} from '../../backend/index.js';
import {median} from '../statistics.js';

export interface TimerOptions {
  /** Of the buffer that is read to flush the L2 cache. Reading leaves nothing to be written back while others are timed. */
  flushBytes: number;
  /** Buffers in rotation hold at least this much together. */
  coverBytes: number;
  /** Replays, after two that don't count. */
  runs: number;
}

/** Microseconds of each stretch of the last replay that ended with a mark. */
function stretchTimes(backend: SpecAttnBackend, captured: Capture): number[] {
  const replay = captured.replay();
  backend.synchronize();
  return Array.from(replay.times(), (milliseconds) => milliseconds * 1e3);
}

export class Timer {
  private readonly flushed: tf.Tensor;

  constructor(
    readonly backend: SpecAttnBackend,
    private readonly options: TimerOptions,
  ) {
    this.flushed = tf.zeros([options.flushBytes / 4096, 1024]);
  }

  /** How many copies of `bytes` of input to rotate over, so that no call finds its own in the cache. */
  copies(bytes: number): number {
    return Math.min(16, Math.max(1, Math.ceil(this.options.coverBytes / bytes)));
  }

  /**
   * Microseconds of one of `calls`, which are the same work on different buffers: all of them one after the other, behind a flush,
   * over their number.
   */
  time(calls: readonly (() => unknown)[]): number {
    const [, all] = this.stretches((mark) => {
      tf.tidy(() => void tf.max(this.flushed, 1));
      mark();
      for (const call of calls) tf.tidy(() => void call());
      mark();
    });
    return all / calls.length;
  }

  /**
   * The median microseconds of each stretch that `record` ends with a mark.
   * @param before what the host does before each replay
   */
  stretches(step: (mark: () => void) => void, before?: () => void): number[] {
    const {backend} = this;
    const captured = backend.capture([], () => {
      step(() => backend.device.mark());
      return {state: [], outputs: []};
    });
    try {
      return this.replays(captured, before);
    } finally {
      captured.dispose();
    }
  }

  /** The same of a capture with marks. */
  replays(captured: Capture, before?: () => void): number[] {
    const samples: number[][] = [];
    for (let run = -2; run < this.options.runs; run++) {
      before?.();
      const times = stretchTimes(this.backend, captured);
      if (run >= 0) samples.push(times);
    }
    return samples[0].map((_, i) => median(samples.map((times) => times[i])));
  }

  /** Median microseconds on the host's clock, from an idle device to an idle device: where the host has a part in it. */
  async wall(call: () => unknown, runs = 3): Promise<number> {
    const samples: number[] = [];
    for (let run = -1; run < runs; run++) {
      this.backend.synchronize();
      const start = performance.now();
      await call();
      this.backend.synchronize();
      if (run >= 0) samples.push((performance.now() - start) * 1e3);
    }
    return median(samples);
  }

  dispose(): void {
    this.flushed.dispose();
  }
}

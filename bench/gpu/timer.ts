/** Times work on the device: a capture of the work is replayed many times, and the device's own events time each replay. */
import * as tf from '@tensorflow/tfjs-core';

import type {Capture, SpecAttnBackend} from '../../backend/index.js';
import {median} from '../statistics.js';

export interface TimerOptions {
  /**
   * Size of a buffer that is read before each timing to flush the L2 cache. It is read and not written, because written
   * data would be copied back to memory while the work is timed.
   */
  flushBytes: number;
  /** Calls rotate over copies of their input that together hold at least this many bytes, but over 16 copies at most. */
  coverBytes: number;
  /** Number of timed replays. Two more replays come before them and are not counted. */
  runs: number;
}

/** Replays the capture once and returns the microseconds of each stretch of work. A mark ends a stretch. */
function stretchTimes(backend: SpecAttnBackend, captured: Capture): number[] {
  const replay = captured.replay();
  backend.synchronize();
  return Array.from(replay.times(), (milliseconds) => milliseconds * 1e3);
}

/** Owns the buffer that flushes the L2 cache until `dispose()`. */
export class Timer {
  private readonly flushed: tf.Tensor;

  constructor(
    readonly backend: SpecAttnBackend,
    private readonly options: TimerOptions,
  ) {
    this.flushed = tf.zeros([options.flushBytes / 4096, 1024]);
  }

  /** Number of copies of an input of `bytes` to rotate over, so that no call finds its input in the L2 cache. */
  copies(bytes: number): number {
    return Math.min(16, Math.max(1, Math.ceil(this.options.coverBytes / bytes)));
  }

  /**
   * Microseconds of one call. `calls` do the same work on different buffers. A replay flushes the L2 cache and then
   * runs all of them, one after the other; the result is the time of all calls divided by their number.
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
   * Captures `step` and returns the median microseconds of each of its stretches.
   * @param step queues work on the device and calls `mark` at the end of each stretch
   * @param before called on the host before each replay
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

  /** Replays a capture that has marks; returns the median microseconds of each stretch. `before` runs before each replay. */
  replays(captured: Capture, before?: () => void): number[] {
    const samples: number[][] = [];
    for (let run = -2; run < this.options.runs; run++) {
      before?.();
      const times = stretchTimes(this.backend, captured);
      if (run >= 0) samples.push(times);
    }
    return samples[0].map((_, i) => median(samples.map((times) => times[i])));
  }

  /**
   * Median microseconds of `call` by the host's clock, for work in which the host takes part. The device is idle before
   * each run, and a run ends when the device is idle again. One more run comes first and is not counted.
   */
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

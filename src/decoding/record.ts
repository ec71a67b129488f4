/** A loop's state and the step that carries it on: recorded where the backend can, run op by op elsewhere. */
import * as tf from '@tensorflow/tfjs-core';

import type {Capture, SpecAttnBackend} from '../../backend/index.js';
import {nativeBackend} from '../../backend/current.js';

/** Ends a phase of the step, so that its time is told apart. */
export type Mark = (phase: string) => void;

/**
 * From the state's tensors to their next values and to what the host reads. A step only runs kernels: it reads no data and makes
 * no tensor from JavaScript values, so that it can be recorded once and replayed.
 */
export type Step = (state: tf.Tensor[], mark: Mark) => {state: tf.Tensor[]; outputs: tf.Tensor[]};

/** Tensors that live from step to step. On the native backend their buffers never change. */
export class LoopState {
  constructor(readonly tensors: tf.Tensor[]) {
    tensors.forEach((tensor) => tf.keep(tensor));
  }

  /** Sets tensor `i` from the host. */
  set(i: number, values: readonly number[]): void {
    const {shape} = this.tensors[i];
    const native = nativeBackend();
    if (native) native.assign(this.tensors[i], Int32Array.from(values));
    else this.replace(i, tf.tensor(values as number[], shape, 'int32'));
  }

  /** Carries the state on by `next`, which returns every tensor's next value. */
  advance(next: (tensors: tf.Tensor[]) => tf.Tensor[]): void {
    const values = tf.tidy(() => next(this.tensors));
    values.forEach((value, i) => this.replace(i, value));
  }

  private replace(i: number, value: tf.Tensor): void {
    if (value === this.tensors[i]) return;
    // A donated tensor comes back as another name of the same buffer: keep the name we have, which recordings refer to.
    if (value.dataId === this.tensors[i].dataId) {
      value.dispose();
      return;
    }
    const native = nativeBackend();
    if (native) {
      native.launch('Copy', [value], [this.tensors[i]]);
      value.dispose();
      return;
    }
    this.tensors[i].dispose();
    this.tensors[i] = tf.keep(value);
  }

  dispose(): void {
    tf.dispose(this.tensors);
  }
}

/** A run of a step. It can be read until the second run after it, or the next one where the device runs at once. */
export interface Launched {
  /** Waits for the run, not for later ones: what the step's outputs hold after it. */
  read(): Promise<tf.TypedArray[]>;
  /** Milliseconds of each phase; to be asked for when the outputs were read. */
  times(): Record<string, number>;
}

/** A step over a state, ready to run again and again. */
export interface Recorded {
  /** One step: the state moves on. */
  run(): Launched;
  dispose(): void;
}

/** Whether a run returns before it has ended, so that the next one can be queued meanwhile. */
export function runsAhead(): boolean {
  return nativeBackend()?.device.asynchronous ?? false;
}

/** Prepares `step` over `state`: as a capture on the native backend, as plain calls elsewhere. */
export function record(state: LoopState, step: Step): Recorded {
  const native = nativeBackend();
  return native ? new Replayed(native, state, step) : new Eager(state, step);
}

class Replayed implements Recorded {
  private readonly phases: string[] = [];
  private readonly captured: Capture;

  constructor(backend: SpecAttnBackend, state: LoopState, step: Step) {
    this.captured = backend.capture(state.tensors, (tensors) =>
      step(tensors, (phase) => {
        this.phases.push(phase);
        backend.device.mark();
      }),
    );
  }

  run(): Launched {
    const replay = this.captured.replay();
    return {
      read: async () => replay.read(),
      times: () => {
        const times = replay.times();
        return Object.fromEntries(this.phases.map((phase, i) => [phase, times[i] ?? 0]));
      },
    };
  }

  dispose(): void {
    this.captured.dispose();
  }
}

class Eager implements Recorded {
  private outputs: tf.Tensor[] = [];

  constructor(
    private readonly state: LoopState,
    private readonly step: Step,
  ) {}

  run(): Launched {
    tf.dispose(this.outputs);
    const times: Record<string, number> = {};
    let start = performance.now();
    this.state.advance((tensors) => {
      const next = this.step(tensors, (phase) => {
        const now = performance.now();
        times[phase] = now - start;
        start = now;
      });
      this.outputs = next.outputs.map((output) => tf.keep(output.clone()));
      return next.state;
    });
    const {outputs} = this;
    return {read: () => Promise.all(outputs.map((output) => output.data())), times: () => times};
  }

  dispose(): void {
    tf.dispose(this.outputs);
    this.outputs = [];
  }
}

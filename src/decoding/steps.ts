/**
 * Makes a step of a loop, which is a round or a step of plain decoding, ready to run again and again. It is captured where the backend can
 * do that, and runs op by op elsewhere.
 */
import * as tf from '@tensorflow/tfjs-core';

import type {Capture, SpecAttnBackend} from '../../backend/index.js';
import {nativeBackend} from '../../backend/current.js';
import {flatten, named, type LoopState, type NamedTensors} from './state.js';

/** Ends a phase of the step and names it. Each phase is timed on its own. */
export type Mark = (phase: string) => void;

/**
 * From a state's tensors to their next values, and to outputs that the host reads. A step only runs kernels: it reads no data and makes
 * no tensor from JavaScript values, so that it can be captured once and replayed.
 */
export type Step<S extends NamedTensors> = (state: S, mark: Mark) => {state: S; outputs: tf.Tensor[]};

/** A run of a step. It can be read until the second run after it, or until the next one where the step is not captured. */
export interface StepRun {
  /** The values of the step's outputs after this run. Waits for this run, not for later ones. */
  read(): Promise<tf.TypedArray[]>;
  /** Milliseconds of each phase. Ask for them after the outputs were read. */
  times(): Record<string, number>;
}

/** A step over a state, ready to run. */
export interface ReadyStep {
  /** Runs the step once: the state moves on. */
  run(): StepRun;
  dispose(): void;
}

/** Whether a run returns before it has ended, so that the next one can be queued meanwhile. */
export function runsAhead(): boolean {
  return nativeBackend()?.device.asynchronous ?? false;
}

/**
 * Makes `step` ready over `state`. On the native backend that captures it, which runs nothing; elsewhere every run calls it.
 * @param pool captures of one pool share the memory of what they compute on the way
 * @throws Error where the step reads data, makes tensors from values, or gives a next state of other shapes
 */
export function makeReady<S extends NamedTensors>(
  state: LoopState<S>,
  step: Step<S>,
  pool?: number,
): ReadyStep {
  const native = nativeBackend();
  return native ? new CapturedStep(native, state, step, pool) : new EagerStep(state, step);
}

class CapturedStep<S extends NamedTensors> implements ReadyStep {
  private readonly phases: string[] = [];
  private readonly capture: Capture;

  constructor(backend: SpecAttnBackend, state: LoopState<S>, step: Step<S>, pool: number | undefined) {
    const {tensors} = state;
    const overList = (list: tf.Tensor[]) => {
      this.phases.length = 0; // a capture that found no memory begins anew
      const next = step(named(tensors, list), (phase) => {
        this.phases.push(phase);
        backend.device.mark();
      });
      return {state: flatten(next.state, tensors), outputs: next.outputs};
    };
    this.capture = backend.capture(flatten(tensors), overList, pool);
  }

  run(): StepRun {
    const replay = this.capture.replay();
    return {
      read: async () => replay.read(),
      times: () => {
        const times = replay.times();
        return Object.fromEntries(this.phases.map((phase, i) => [phase, times[i] ?? 0]));
      },
    };
  }

  dispose(): void {
    this.capture.dispose();
  }
}

class EagerStep<S extends NamedTensors> implements ReadyStep {
  private outputs: tf.Tensor[] = [];

  constructor(
    private readonly state: LoopState<S>,
    private readonly step: Step<S>,
  ) {}

  run(): StepRun {
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

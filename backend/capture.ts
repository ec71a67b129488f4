/**
 * Captures: the launches of one function call, recorded once and replayed with one native call, which saves the host's
 * work per launch.
 */
import * as tf from '@tensorflow/tfjs-core';

import type {NativeDevice} from './addon.js';
import {hostArray, isHalf, type NativeBackend, type NativeDType} from './types.js';

/**
 * One step of a loop. It takes the state's tensors and returns their next values and the outputs that the host reads.
 * It may only run kernels: it must not read a tensor's data, nor make a tensor from JavaScript values.
 */
export type CaptureStep = (state: tf.Tensor[]) => {state: tf.Tensor[]; outputs: tf.Tensor[]};

/** A queued replay. Its outputs and times can be read until the second replay after it is queued. */
export interface Replay {
  /** Waits for this replay, not for later ones, and returns the values of the outputs after it. */
  read(): (Float32Array | Int32Array | Uint8Array)[];
  /** Milliseconds of each stretch that ended with `backend.device.mark()`. The outputs must have been read before. */
  times(): Float64Array;
}

/** The part of the backend that a capture uses. */
export interface CapturingBackend extends NativeBackend {
  readonly device: NativeDevice;
  /** The number of the native buffer that holds `x`. */
  handleOf(x: tf.TensorInfo): number;
}

/**
 * The recorded launches of `step(state)` over fixed buffers. Recording runs nothing. Every `replay()` runs all
 * launches: the state's tensors and the outputs are overwritten with their next values. On CUDA a capture is a CUDA
 * graph, on the CPU a list of launches.
 *
 * The capture owns the memory of tensors made in `step`. Captures of one pool share it, so their steps can keep no
 * tensor that they make. The caller keeps the state and all other tensors that `step` reads, such as weights, until
 * `dispose()`.
 */
export class Capture {
  /** Overwritten by every replay. The capture owns them: callers may read them but not dispose of them. */
  readonly outputs: tf.Tensor[];
  private id: number | undefined;
  private replays = 0;

  constructor(
    private readonly backend: CapturingBackend,
    state: tf.Tensor[],
    step: CaptureStep,
    pool?: number,
  ) {
    const {device} = backend;
    const outputs: tf.Tensor[] = [];
    device.beginCapture(pool);
    try {
      tf.tidy(() => {
        const next = step(state);
        if (next.state.length !== state.length)
          throw new Error(
            `[capture] the state has ${state.length} tensors but its next value has ${next.state.length}`,
          );
        next.state.forEach((tensor, i) => {
          if (!tf.util.arraysEqual(tensor.shape, state[i].shape) || tensor.dtype !== state[i].dtype)
            throw new Error(
              `[capture] state ${i} is ${state[i].dtype} [${state[i].shape}] but its next value is ${tensor.dtype} [${tensor.shape}]`,
            );
          // A donated tensor (a KV cache) is its own next value: nothing to copy.
          if (tensor.dataId !== state[i].dataId) backend.launch('Copy', [tensor], [state[i]]);
        });
        // If one output fails, those before it are in the list and are disposed of below.
        for (const output of next.outputs) outputs.push(tf.keep(readable(backend, output, pool)));
      });
      this.id = device.endCapture();
      for (const output of outputs) device.addOutput(this.id, backend.handleOf(output));
    } catch (error) {
      tf.dispose(outputs);
      try {
        device.freeCapture(this.id ?? device.endCapture());
      } catch {
        // The capture has ended either way, and the first error is the one to throw.
      }
      throw error;
    }
    this.outputs = outputs;
  }

  /** Queues all launches of the capture. */
  replay(): Replay {
    const {device} = this.backend;
    device.replay(this.captureId('replay'));
    const number = ++this.replays;
    return {
      read: () =>
        this.outputs.map((output, i) => {
          const values = hostArray(output.dtype as 'float32' | 'int32' | 'bool', output.size);
          device.readOutput(this.captureId('read'), i, this.replays - number, values);
          return values;
        }),
      times: () => device.descriptor.slice(0, device.times(this.captureId('times'), this.replays - number)),
    };
  }

  /** Number of kernels that a replay runs. */
  get launches(): number {
    return this.backend.device.launches(this.captureId('launches'));
  }

  private captureId(what: string): number {
    if (this.id === undefined) throw new Error(`[${what}] the capture was disposed`);
    return this.id;
  }

  dispose(): void {
    if (this.id === undefined) return;
    this.backend.device.freeCapture(this.id); // throws while another capture is being recorded
    this.id = undefined;
    tf.dispose(this.outputs);
  }
}

/**
 * A tensor of the same values in float32, int32 or bool storage, which the host can read. Its memory must hold the values until the next
 * replay of this capture: in a shared pool that takes memory apart.
 */
function readable(backend: CapturingBackend, x: tf.Tensor, pool: number | undefined): tf.Tensor {
  if (pool === undefined && !isHalf(backend.storageOf(x))) return x.clone();
  const dtype = x.dtype as NativeDType;
  const copy = backend.output(x.shape, dtype, dtype, pool !== undefined);
  try {
    backend.launch('Copy', [x], [copy]);
  } catch (error) {
    backend.disposeIntermediateTensorInfo(copy);
    throw error;
  }
  return tf.engine().makeTensorFromTensorInfo(copy);
}

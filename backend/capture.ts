/** A recorded step: the launches of one function call, run again with one native call. */
import * as tf from '@tensorflow/tfjs-core';

import type {NativeDevice} from './addon.js';
import {hostArray, isHalf, type NativeBackend, type Storage} from './types.js';

/**
 * One step of a loop: from the state's tensors to their next values and to what the host reads. It may only run kernels:
 * nothing in it may read a tensor's data.
 */
export type CaptureStep = (state: tf.Tensor[]) => {state: tf.Tensor[]; outputs: tf.Tensor[]};

/** A replay that was queued: it can be read until the second replay after it. */
export interface Replay {
  /** Waits for the replay, not for later ones: what the outputs hold after it. */
  read(): (Float32Array | Int32Array | Uint8Array)[];
  /** Milliseconds of each stretch that ended with `backend.device.mark()`; to be asked for when the outputs were read. */
  times(): Float64Array;
}

/** What a capture needs of its backend. */
export interface CapturingBackend extends NativeBackend {
  readonly device: NativeDevice;
  /** The number of the native buffer that holds `x`. */
  handleOf(x: tf.TensorInfo): number;
  /** A copy of a float32 tensor in another storage. */
  converted(x: tf.TensorInfo, storage: Storage): tf.TensorInfo;
}

/**
 * The launches of `step(state)`, recorded, over fixed buffers. Recording runs nothing; every `replay()` runs them all: the state's
 * tensors take their next values, the outputs theirs. On CUDA this is a CUDA graph, on the CPU a list.
 */
export class Capture {
  /** Refilled by every replay; theirs to read, not to dispose. */
  readonly outputs: tf.Tensor[];
  private id: number | undefined;
  private replays = 0;

  constructor(
    private readonly backend: CapturingBackend,
    state: tf.Tensor[],
    step: CaptureStep,
  ) {
    const {device} = backend;
    const outputs: tf.Tensor[] = [];
    device.beginCapture();
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
          // A donated tensor (a KV cache) is its own next value.
          if (tensor.dataId !== state[i].dataId) backend.launch('Copy', [tensor], [state[i]]);
        });
        // One by one: what is kept when one fails is disposed of below.
        for (const output of next.outputs) outputs.push(tf.keep(readable(backend, output)));
      });
      this.id = device.endCapture();
      for (const output of outputs) device.addOutput(this.id, backend.handleOf(output));
    } catch (error) {
      tf.dispose(outputs);
      try {
        device.freeCapture(this.id ?? device.endCapture());
      } catch {
        // The recording is over either way; what went wrong first is what counts.
      }
      throw error;
    }
    this.outputs = outputs;
  }

  /** Queues the launches. */
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

  /** Kernels that a replay runs. */
  get launches(): number {
    return this.backend.device.launches(this.captureId('launches'));
  }

  private captureId(what: string): number {
    if (this.id === undefined) throw new Error(`[${what}] the capture was disposed`);
    return this.id;
  }

  dispose(): void {
    if (this.id === undefined) return;
    this.backend.device.freeCapture(this.id); // refused while another is recorded
    this.id = undefined;
    tf.dispose(this.outputs);
  }
}

/** A tensor of the same values, whose bytes the host can read as they are. */
function readable(backend: CapturingBackend, x: tf.Tensor): tf.Tensor {
  if (!isHalf(backend.storageOf(x))) return x.clone();
  return tf.engine().makeTensorFromTensorInfo(backend.converted(x, 'float32'));
}

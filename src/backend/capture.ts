/** A recorded step: the launches of one function call, run again with one native call. */
import * as tf from '@tensorflow/tfjs-core';

import type {SpecAttnBackend} from './backend.js';

/**
 * One step of a loop: from the state's tensors to their next values and to what the host reads. It may only run kernels:
 * nothing in it may read a tensor's data.
 */
export type CaptureStep = (state: tf.Tensor[]) => {state: tf.Tensor[]; outputs: tf.Tensor[]};

/**
 * The launches of `step(state)`, recorded, over fixed buffers. Recording runs nothing; every `replay()` runs them all: the state's
 * tensors take their next values, the outputs theirs. On CUDA this is a CUDA graph, on the CPU a list.
 */
export class Captured {
  /** Refilled by every replay; theirs to read, not to dispose. */
  readonly outputs: tf.Tensor[];
  private id: number | undefined;

  constructor(
    private readonly backend: SpecAttnBackend,
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
        outputs.push(...next.outputs.map((output) => tf.keep(output.clone())));
      });
      this.id = device.endCapture();
    } catch (error) {
      tf.dispose(outputs);
      try {
        device.freeCapture(device.endCapture());
      } catch {
        // The recording is over either way; what went wrong first is what counts.
      }
      throw error;
    }
    this.outputs = outputs;
  }

  /** Runs the launches; returns the milliseconds of each stretch that ended with `backend.device.mark()`. */
  replay(): Float64Array {
    if (this.id === undefined) throw new Error('[replay] the capture was disposed');
    const {device} = this.backend;
    return device.command.slice(0, device.replay(this.id));
  }

  dispose(): void {
    if (this.id === undefined) return;
    tf.dispose(this.outputs);
    this.backend.device.freeCapture(this.id);
    this.id = undefined;
  }
}

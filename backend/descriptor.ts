/**
 * Writes launch descriptors: the numbers by which JavaScript tells native code what to launch. C++ reads and checks
 * them.
 */
import type {TensorInfo} from '@tensorflow/tfjs-core';

import type {Storage} from './types.js';

/** The most inputs and outputs of one launch together: kMaxTensors in `cuda/core/launch_descriptor.h`. */
export const MOST_TENSORS = 256;

/** The order of DType in `cuda/core/tensor.h`. */
const STORAGES: readonly Storage[] = ['float32', 'bfloat16', 'float16', 'int32', 'bool'];
const STORAGE_NUMBER = Object.fromEntries(STORAGES.map((name, i) => [name, i])) as Record<Storage, number>;

/**
 * Writes one launch into `descriptor`: kernel, numbers of inputs, outputs and attributes, then handle, storage, rank
 * and dimensions of each tensor, then the attributes.
 * @param dataOf gives a tensor's native buffer and how its elements are stored
 * @throws Error where the launch takes more numbers than the descriptor holds
 */
export function writeDescriptor(
  descriptor: Float64Array,
  kernel: number,
  inputs: readonly TensorInfo[],
  outputs: readonly TensorInfo[],
  attrs: readonly number[],
  dataOf: (x: TensorInfo) => {handle: number; storage: Storage},
): void {
  let at = 0;
  descriptor[at++] = kernel;
  descriptor[at++] = inputs.length;
  descriptor[at++] = outputs.length;
  descriptor[at++] = attrs.length;
  for (const list of [inputs, outputs]) {
    for (const x of list) {
      const {handle, storage} = dataOf(x);
      descriptor[at++] = handle;
      descriptor[at++] = STORAGE_NUMBER[storage];
      descriptor[at++] = x.shape.length;
      for (const dimension of x.shape) descriptor[at++] = dimension;
    }
  }
  for (const attr of attrs) descriptor[at++] = attr;
  // JavaScript drops writes past a typed array's end without an error.
  if (at > descriptor.length)
    throw new Error(`[launch] a descriptor takes ${at} numbers of ${descriptor.length} at most`);
}

/** tf.concat: tensors side by side along an axis, all converted to the first tensor's dtype. */
import {backend_util, Concat, util, type ConcatAttrs, type TensorInfo} from '@tensorflow/tfjs-core';

import {MOST_TENSORS} from '../descriptor.js';
import type {NativeBackend, NativeDType} from '../types.js';
import {cast, compute, createKernel, nativeDType, withTemporaries} from './kernel.js';

/** The most inputs of one launch: it has one output. */
const MOST_INPUTS = MOST_TENSORS - 1;

/**
 * Joins any number of tensors.
 * @param shape of the result
 * @param outer product of the dimensions before the axis; every input is read as a matrix of that many rows
 */
export function concat(
  backend: NativeBackend,
  inputs: TensorInfo[],
  shape: number[],
  outer: number,
): TensorInfo {
  const dtype = nativeDType(inputs[0]);
  return withTemporaries(backend, (keep) => {
    const same = inputs.map((x) => (x.dtype === dtype ? x : keep(cast(backend, x, dtype))));
    return join(backend, same, shape, dtype, outer);
  });
}

/**
 * Joins inputs of one dtype, in one launch if it takes them all. Otherwise parts of the list are joined first, then
 * their results.
 */
function join(
  backend: NativeBackend,
  inputs: TensorInfo[],
  shape: number[],
  dtype: NativeDType,
  outer: number,
): TensorInfo {
  if (inputs.length <= MOST_INPUTS) return compute(backend, 'Concat', inputs, shape, dtype, [outer]);
  return withTemporaries(backend, (keep) => {
    const joined: TensorInfo[] = [];
    for (let from = 0; from < inputs.length; from += MOST_INPUTS) {
      const part = inputs.slice(from, from + MOST_INPUTS);
      const elements = part.reduce((sum, x) => sum + util.sizeFromShape(x.shape), 0);
      const partShape = [outer, outer > 0 ? elements / outer : 0];
      joined.push(part.length === 1 ? part[0] : keep(join(backend, part, partShape, dtype, outer)));
    }
    return join(backend, joined, shape, dtype, outer);
  });
}

export const concatConfig = createKernel<TensorInfo[], ConcatAttrs>(Concat, ({inputs, attrs, backend}) => {
  const axis = util.parseAxisParam(attrs.axis, inputs[0].shape)[0];
  const shapes = inputs.map((x) => x.shape);
  backend_util.assertParamsConsistent(shapes, axis);
  if (inputs.length === 1) return backend.alias(inputs[0]);
  const shape = backend_util.computeOutShape(shapes, axis);
  return concat(backend, inputs, shape, util.sizeFromShape(shape.slice(0, axis)));
});

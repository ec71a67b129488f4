/** Tensors side by side along an axis, all in the first one's dtype. */
import {backend_util, Concat, util, type ConcatAttrs, type TensorInfo} from '@tensorflow/tfjs-core';

import type {NativeBackend} from '../types.js';
import {cast, compute, createKernel, nativeDType, withTemporaries} from './kernel.js';

/** One launch: every input is seen as a matrix of `outer` rows. */
export function concat(
  backend: NativeBackend,
  inputs: TensorInfo[],
  shape: number[],
  outer: number,
): TensorInfo {
  const dtype = nativeDType(inputs[0]);
  if (inputs.every((x) => x.dtype === dtype))
    return compute(backend, 'Concat', inputs, shape, dtype, [outer]);
  return withTemporaries(backend, (keep) => {
    const same = inputs.map((x) => (x.dtype === dtype ? x : keep(cast(backend, x, dtype))));
    return compute(backend, 'Concat', same, shape, dtype, [outer]);
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

/**
 * tf.gather: slices of a tensor along an axis, picked by indices. Weights stored as bfloat16 or float16 are read as
 * they are.
 */
import {backend_util, GatherV2, util, type GatherV2Attrs, type TensorInfo} from '@tensorflow/tfjs-core';

import {cast, compute, createKernel, nativeDType, withTemporaries, type MissingError} from './kernel.js';

type Inputs = Record<'x' | 'indices', TensorInfo>;

const missingError: MissingError<Inputs, GatherV2Attrs> = {
  of: 'an index out of range',
  reason:
    'it gives zeros: indices live on the device, which may run behind the host, and to look at them would be to wait for it',
  applies: ({inputs: {x, indices}, attrs}, values) => {
    const size = x.shape[util.parseAxisParam(attrs.axis, x.shape)[0]];
    return Array.from(values(indices)).some((index) => !(index >= 0 && index < size));
  },
};

export const gatherV2Config = createKernel<Inputs, GatherV2Attrs>(
  GatherV2,
  ({inputs: {x, indices}, attrs, backend}) => {
    const axis = util.parseAxisParam(attrs.axis, x.shape)[0];
    const given = attrs.batchDims ?? 0;
    const batchDims = given < 0 ? given + indices.shape.length : given;
    const {outputShape} = backend_util.segment_util.collectGatherOpShapeInfo(x, indices, axis, batchDims);
    return withTemporaries(backend, (keep) => {
      const $indices = keep(cast(backend, indices, 'int32'));
      return compute(backend, 'Gather', [x, $indices], outputShape, nativeDType(x), [axis, batchDims]);
    });
  },
  missingError,
);

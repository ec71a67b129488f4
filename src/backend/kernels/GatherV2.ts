/**
 * Slices of a tensor along an axis, picked by indices: tf.gather. Reads bfloat16 and float16 weights as they are. Indices live on
 * the device and are not looked at here: one that is out of range gives zeros (tfjs-backend-cpu throws).
 */
import {backend_util, GatherV2, util, type GatherV2Attrs, type TensorInfo} from '@tensorflow/tfjs-core';

import {cast, compute, createKernel, nativeDType, withTemporaries} from './kernel.js';

export const gatherV2Config = createKernel<{x: TensorInfo; indices: TensorInfo}, GatherV2Attrs>(
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
);

/** tf.batchNorm: (x − mean) · scale / √(variance + epsilon) + offset. */
import {FusedBatchNorm, type FusedBatchNormAttrs, type TensorInfo} from '@tensorflow/tfjs-core';

import {binary} from './binary.js';
import {scalar} from './Fill.js';
import {areFloat32, createKernel, fallback, withTemporaries} from './kernel.js';
import {unary} from './unary.js';

type Inputs = Record<'x' | 'mean' | 'variance', TensorInfo> & Partial<Record<'scale' | 'offset', TensorInfo>>;

export const fusedBatchNormConfig = createKernel<Inputs, FusedBatchNormAttrs>(FusedBatchNorm, (args) => {
  const {
    inputs: {x, mean, variance, scale, offset},
    attrs: {varianceEpsilon},
    backend,
  } = args;
  if (!areFloat32(x, mean, variance, scale, offset)) return fallback(FusedBatchNorm, args);
  return withTemporaries(backend, (keep) => {
    const epsilon = keep(scalar(backend, varianceEpsilon, 'float32'));
    const inverse = keep(unary(backend, 'Rsqrt', keep(binary(backend, 'Add', variance, epsilon))));
    const factor = scale ? keep(binary(backend, 'Multiply', inverse, scale)) : inverse;
    const scaled = binary(backend, 'Multiply', keep(binary(backend, 'Sub', x, mean)), factor);
    return offset ? binary(backend, 'Add', keep(scaled), offset) : scaled;
  });
});

/**
 * tf.gatherND: slices of a tensor, each at the place that a row of indices names. A place out of range gives zeros,
 * where tfjs-backend-cpu throws: this code does not read indices, for the reason that GatherV2.ts gives.
 */
import {backend_util, GatherNd, type Tensor, type TensorInfo} from '@tensorflow/tfjs-core';

import {cast, compute, createKernel, fallback, nativeDType, withTemporaries} from './kernel.js';

export const gatherNdConfig = createKernel<Record<'params' | 'indices', TensorInfo>>(GatherNd, (args) => {
  const {
    inputs: {params, indices},
    backend,
  } = args;
  const depth = indices.shape[indices.shape.length - 1];
  if (depth === 0) return fallback(GatherNd, args);
  const [shape] = backend_util.prepareAndValidate(params as Tensor, indices as Tensor);
  return withTemporaries(backend, (keep) => {
    const $indices = keep(cast(backend, indices, 'int32'));
    return compute(backend, 'GatherNd', [params, $indices], shape, nativeDType(params), [depth]);
  });
});

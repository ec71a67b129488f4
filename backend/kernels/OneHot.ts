/** tf.oneHot: a row of `depth` elements for every index, onValue at the index and offValue elsewhere. */
import {OneHot, type OneHotAttrs, type TensorInfo} from '@tensorflow/tfjs-core';

import {cast, compute, createKernel, fallback, isNativeDType, withTemporaries} from './kernel.js';

export const oneHotConfig = createKernel<{indices: TensorInfo}, OneHotAttrs>(OneHot, (args) => {
  const {
    inputs: {indices},
    attrs: {depth, onValue, offValue, dtype = 'int32'},
    backend,
  } = args;
  if (!isNativeDType(dtype)) return fallback(OneHot, args);
  return withTemporaries(backend, (keep) => {
    const $indices = keep(cast(backend, indices, 'int32'));
    const shape = [...indices.shape, depth];
    return compute(backend, 'OneHot', [$indices], shape, dtype, [onValue, offValue]);
  });
});

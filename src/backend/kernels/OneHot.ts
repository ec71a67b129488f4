/** A row of `depth` for every index: onValue at its place, offValue elsewhere. */
import {OneHot, type OneHotAttrs, type TensorInfo} from '@tensorflow/tfjs-core';

import {cast, compute, createKernel, fallback, isNativeDType} from './kernel.js';

export const oneHotConfig = createKernel<{indices: TensorInfo}, OneHotAttrs>(OneHot, (args) => {
  const {
    inputs: {indices},
    attrs: {depth, onValue, offValue, dtype = 'int32'},
    backend,
  } = args;
  if (!isNativeDType(dtype)) return fallback(OneHot, args);
  const $indices = cast(backend, indices, 'int32');
  const result = compute(backend, 'OneHot', [$indices], [...indices.shape, depth], dtype, [
    onValue,
    offValue,
  ]);
  backend.disposeIntermediateTensorInfo($indices);
  return result;
});

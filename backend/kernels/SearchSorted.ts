/** tf.lowerBound and tf.upperBound: the index at which each value belongs in a sorted row. */
import {SearchSorted, type SearchSortedAttrs, type TensorInfo} from '@tensorflow/tfjs-core';

import {compute, createKernel, fallback} from './kernel.js';

export const searchSortedConfig = createKernel<
  Record<'sortedSequence' | 'values', TensorInfo>,
  SearchSortedAttrs
>(SearchSorted, (args) => {
  const {
    inputs: {sortedSequence, values},
    attrs: {side},
    backend,
  } = args;
  if (sortedSequence.dtype !== values.dtype || values.dtype === 'bool') return fallback(SearchSorted, args);
  const attrs = [side === 'right' ? 1 : 0];
  return compute(backend, 'SearchSorted', [sortedSequence, values], values.shape, 'int32', attrs);
});

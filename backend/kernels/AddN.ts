/** tf.addN: the sum of tensors of one shape. Each launch adds one tensor to the sum so far. */
import {AddN, type TensorInfo} from '@tensorflow/tfjs-core';

import {binary} from './binary.js';
import {createKernel, fallback} from './kernel.js';

export const addNConfig = createKernel<TensorInfo[]>(AddN, (args) => {
  const {inputs, backend} = args;
  const [first, ...rest] = inputs;
  if (rest.some((x) => x.dtype !== first.dtype)) return fallback(AddN, args);
  if (rest.length === 0) return backend.alias(first);
  return rest.reduce((sum, x) => {
    try {
      return binary(backend, 'Add', sum, x);
    } finally {
      if (sum !== first) backend.disposeIntermediateTensorInfo(sum);
    }
  }, first);
});

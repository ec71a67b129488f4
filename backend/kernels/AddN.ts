/** The sum of tensors of one shape. */
import {AddN, type TensorInfo} from '@tensorflow/tfjs-core';

import {binary} from './binary.js';
import {createKernel, fallback, withTemporaries} from './kernel.js';

export const addNConfig = createKernel<TensorInfo[]>(AddN, (args) => {
  const {inputs, backend} = args;
  const [first, ...rest] = inputs;
  if (rest.some((x) => x.dtype !== first.dtype)) return fallback(AddN, args);
  const last = rest.pop();
  if (!last) return backend.alias(first);
  return withTemporaries(backend, (keep) => {
    const before = rest.reduce((sum, x) => keep(binary(backend, 'Add', sum, x)), first);
    return binary(backend, 'Add', before, last);
  });
});

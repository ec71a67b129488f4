/** tf.cumsum and tf.cumprod: running sums and products along an axis. */
import {Cumprod, Cumsum, type CumsumAttrs, type TensorInfo} from '@tensorflow/tfjs-core';

import {compute, createKernel, nativeDType} from './kernel.js';

export const cumConfigs = [Cumsum, Cumprod].map((name) =>
  createKernel<{x: TensorInfo}, CumsumAttrs>(name, ({inputs: {x}, attrs, backend}) => {
    const axis = attrs.axis < 0 ? attrs.axis + x.shape.length : attrs.axis;
    return compute(backend, 'Cumsum', [x], x.shape, x.dtype === 'bool' ? 'int32' : nativeDType(x), [
      axis,
      attrs.exclusive ? 1 : 0,
      attrs.reverse ? 1 : 0,
      name === Cumprod ? 1 : 0,
    ]);
  }),
);

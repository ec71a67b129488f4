/** tf.linspace: `num` evenly spaced numbers from start to stop. */
import {LinSpace, type LinSpaceAttrs} from '@tensorflow/tfjs-core';

import {compute, createKernel} from './kernel.js';

export const linSpaceConfig = createKernel<object, LinSpaceAttrs>(
  LinSpace,
  ({attrs: {start, stop, num}, backend}) =>
    compute(backend, 'Range', [], [num], 'float32', [start, num > 1 ? (stop - start) / (num - 1) : 0]),
);

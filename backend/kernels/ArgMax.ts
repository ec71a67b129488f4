/** tf.argMax and tf.argMin: the index of the largest, or smallest, element along an axis. */
import {ArgMax, ArgMin, util, type ArgMaxAttrs, type TensorInfo} from '@tensorflow/tfjs-core';

import {compute, createKernel} from './kernel.js';
import {reducedShape} from './reduce.js';

export const argConfigs = [ArgMax, ArgMin].map((name) =>
  createKernel<{x: TensorInfo}, ArgMaxAttrs>(name, ({inputs: {x}, attrs, backend}) => {
    const axis = util.parseAxisParam(attrs.axis, x.shape)[0];
    return compute(backend, 'ArgMax', [x], reducedShape(x.shape, [axis], false), 'int32', [
      axis,
      name === ArgMin ? 1 : 0,
    ]);
  }),
);

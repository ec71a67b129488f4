/** tf.split: a tensor cut into pieces along an axis. */
import {backend_util, SplitV, util, type SplitVAttrs, type TensorInfo} from '@tensorflow/tfjs-core';

import {computeAll, createKernel} from './kernel.js';
import {slice} from './stridedCopy.js';

export const splitVConfig = createKernel<{x: TensorInfo}, SplitVAttrs>(
  SplitV,
  ({inputs: {x}, attrs, backend}) => {
    const axis = util.parseAxisParam(attrs.axis, x.shape)[0];
    const begin = new Array<number>(x.shape.length).fill(0);
    const sizes = backend_util.prepareSplitSize(x, attrs.numOrSizeSplits, axis);
    return computeAll(backend, sizes.length, (i) => {
      const shape = x.shape.slice();
      shape[axis] = sizes[i];
      const piece = slice(backend, x, begin, shape, shape);
      begin[axis] += sizes[i];
      return piece;
    });
  },
);

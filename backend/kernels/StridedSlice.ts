/** tf.stridedSlice: a box of a tensor in steps, like Python's x[a:b:c, ..., newaxis]. */
import {slice_util, StridedSlice, type StridedSliceAttrs, type TensorInfo} from '@tensorflow/tfjs-core';

import {createKernel} from './kernel.js';
import {slice} from './stridedCopy.js';

export const stridedSliceConfig = createKernel<{x: TensorInfo}, StridedSliceAttrs>(
  StridedSlice,
  ({inputs: {x}, attrs, backend}) => {
    const {begin, strides, end, finalShape, isIdentity} = slice_util.sliceInfo(
      x.shape,
      attrs.begin,
      attrs.end,
      attrs.strides,
      attrs.beginMask,
      attrs.endMask,
      attrs.ellipsisMask,
      attrs.newAxisMask,
      attrs.shrinkAxisMask,
    );
    if (isIdentity) return backend.alias(x, finalShape);
    const size = slice_util.computeOutShape(begin, end, strides).map((n) => Math.max(n, 0));
    return slice(backend, x, begin, size, finalShape, strides);
  },
);

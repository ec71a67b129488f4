/** tf.slice: a box of a tensor. */
import {Slice, slice_util, type SliceAttrs, type TensorInfo} from '@tensorflow/tfjs-core';

import {createKernel, sameShape} from './kernel.js';
import {slice} from './stridedCopy.js';

export const sliceConfig = createKernel<{x: TensorInfo}, SliceAttrs>(
  Slice,
  ({inputs: {x}, attrs, backend}) => {
    const [begin, size] = slice_util.parseSliceParams(x, attrs.begin, attrs.size);
    slice_util.assertParamsValid(x, begin, size);
    return sameShape(size, x.shape) ? backend.alias(x) : slice(backend, x, begin, size, size);
  },
);

/** tf.expandDims: the same buffer under a shape with one more dimension, of size 1. */
import {ExpandDims, type ExpandDimsAttrs, type TensorInfo} from '@tensorflow/tfjs-core';

import {createUntypedKernel} from './kernel.js';

export const expandDimsConfig = createUntypedKernel<{input: TensorInfo}, ExpandDimsAttrs>(
  ExpandDims,
  ({inputs: {input}, attrs: {dim}, backend}) => {
    const rank = input.shape.length;
    if (dim < -(rank + 1) || dim > rank)
      throw new Error(`[ExpandDims] axis must be in [${-(rank + 1)}, ${rank}] but is ${dim}`);
    const shape = input.shape.slice();
    shape.splice(dim < 0 ? rank + 1 + dim : dim, 0, 1);
    return backend.alias(input, shape);
  },
);

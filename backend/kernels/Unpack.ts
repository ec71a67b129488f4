/** tf.unstack: the slices of a tensor along an axis. */
import {Unpack, type TensorInfo, type UnpackAttrs} from '@tensorflow/tfjs-core';

import {computeAll, createKernel} from './kernel.js';
import {slice} from './stridedCopy.js';

export const unpackConfig = createKernel<{value: TensorInfo}, UnpackAttrs>(
  Unpack,
  ({inputs: {value}, attrs, backend}) => {
    const axis = attrs.axis < 0 ? attrs.axis + value.shape.length : attrs.axis;
    const begin = new Array<number>(value.shape.length).fill(0);
    const size = value.shape.slice();
    const shape = value.shape.filter((_, i) => i !== axis);
    size[axis] = 1;
    return computeAll(backend, value.shape[axis], (i) => {
      begin[axis] = i;
      return slice(backend, value, begin, size, shape.slice());
    });
  },
);

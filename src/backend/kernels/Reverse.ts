/** A tensor read backwards along some axes. */
import {Reverse, util, type ReverseAttrs, type TensorInfo} from '@tensorflow/tfjs-core';

import {createKernel} from './kernel.js';
import {slice} from './stridedCopy.js';

export const reverseConfig = createKernel<{x: TensorInfo}, ReverseAttrs>(
  Reverse,
  ({inputs: {x}, attrs: {dims}, backend}) => {
    const axes = util.parseAxisParam(dims, x.shape);
    if (axes.length === 0 || x.shape.length === 0) return backend.alias(x);
    const begin = x.shape.map((size, axis) => (axes.includes(axis) ? size - 1 : 0));
    const steps = x.shape.map((_, axis) => (axes.includes(axis) ? -1 : 1));
    return slice(backend, x, begin, x.shape, x.shape, steps);
  },
);

/** tf.reverse and tf.image.flipLeftRight: a tensor with its elements in reverse order along some axes. */
import {FlipLeftRight, Reverse, util, type ReverseAttrs, type TensorInfo} from '@tensorflow/tfjs-core';

import type {NativeBackend} from '../types.js';
import {createKernel} from './kernel.js';
import {slice} from './stridedCopy.js';

function reverse(backend: NativeBackend, x: TensorInfo, axes: readonly number[]): TensorInfo {
  if (axes.length === 0 || x.shape.length === 0) return backend.alias(x);
  const begin = x.shape.map((size, axis) => (axes.includes(axis) ? size - 1 : 0));
  const steps = x.shape.map((_, axis) => (axes.includes(axis) ? -1 : 1));
  return slice(backend, x, begin, x.shape, x.shape, steps);
}

export const reverseConfig = createKernel<{x: TensorInfo}, ReverseAttrs>(
  Reverse,
  ({inputs: {x}, attrs: {dims}, backend}) => reverse(backend, x, util.parseAxisParam(dims, x.shape)),
);

/** Images are [batch, height, width, channels]. */
export const flipLeftRightConfig = createKernel<{image: TensorInfo}>(
  FlipLeftRight,
  ({inputs: {image}, backend}) => reverse(backend, image, [2]),
);

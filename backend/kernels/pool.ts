/**
 * tf.maxPool and tf.avgPool: the largest element, or the mean, of each window of images [batch, height, width,
 * channels]. Places outside of an image count in neither. NaN does not count in the largest.
 */
import {
  AvgPool,
  backend_util,
  MaxPool,
  type AvgPoolAttrs,
  type KernelConfig,
  type MaxPoolAttrs,
  type TensorInfo,
} from '@tensorflow/tfjs-core';

import type {NativeBackend} from '../types.js';
import {binary} from './binary.js';
import {scalar} from './Fill.js';
import {compute, createKernel, fallback, sameShape, withTemporaries, type Keep} from './kernel.js';
import {reduce} from './reduce.js';
import {unary} from './unary.js';
import {windows, type Sizes} from './windows.js';

/** A number that is not above any number of the dtype. */
const LOWEST = {float32: -Infinity, int32: -(2 ** 31)};

function sizesOf(
  x: TensorInfo,
  {filterSize, strides, pad, dimRoundingMode}: MaxPoolAttrs | AvgPoolAttrs,
): Sizes {
  const shape = x.shape as [number, number, number, number];
  return backend_util.computePool2DInfo(shape, filterSize, strides, 1, pad, dimRoundingMode);
}

/**
 * Whether each window is one pixel and the output has the images' shape. TensorFlow.js then returns the images, even
 * where strides and padding would give something else.
 */
function keepsPixels({filterHeight, filterWidth, inShape, outShape}: Sizes): boolean {
  return filterHeight * filterWidth === 1 && sameShape(inShape, outShape);
}

/** A pooling kernel. Images of dtypes that are not in the list run on tfjs-backend-cpu. */
function createPool(
  kernelName: string,
  dtypes: readonly string[],
  pool: (backend: NativeBackend, x: TensorInfo, sizes: Sizes, keep: Keep) => TensorInfo,
): KernelConfig {
  return createKernel<{x: TensorInfo}, MaxPoolAttrs | AvgPoolAttrs>(kernelName, (args) => {
    const {
      inputs: {x},
      attrs,
      backend,
    } = args;
    if (!dtypes.includes(x.dtype)) return fallback(kernelName, args);
    const sizes = sizesOf(x, attrs);
    if (keepsPixels(sizes)) return backend.alias(x);
    return withTemporaries(backend, (keep) => pool(backend, x, sizes, keep));
  });
}

export const maxPoolConfig = createPool(MaxPool, ['float32', 'int32'], (backend, x, sizes, keep) => {
  const lowest = LOWEST[x.dtype as keyof typeof LOWEST];
  const numbers = x.dtype === 'float32' ? keep(withoutNaN(backend, x, lowest)) : x;
  return reduce(backend, 'Max', keep(windows(backend, numbers, sizes, lowest)), [3]);
});

/** `x` with the number `instead` in place of NaN. */
function withoutNaN(backend: NativeBackend, x: TensorInfo, instead: number): TensorInfo {
  return withTemporaries(backend, (keep) => {
    const $instead = keep(scalar(backend, instead, 'float32'));
    const inputs = [keep(unary(backend, 'IsNan', x)), $instead, x];
    return compute(backend, 'Select', inputs, x.shape, 'float32');
  });
}

export const avgPoolConfig = createPool(AvgPool, ['float32'], (backend, x, sizes, keep) => {
  const sums = keep(reduce(backend, 'Sum', keep(windows(backend, x, sizes)), [3]));
  return binary(backend, 'RealDiv', sums, keep(counts(backend, x, sizes)));
});

/** How many pixels of the image each window holds: [1, outHeight, outWidth, 1]. */
function counts(backend: NativeBackend, x: TensorInfo, sizes: Sizes): TensorInfo {
  return withTemporaries(backend, (keep) => {
    const [, height, width] = x.shape;
    const ones = keep(compute(backend, 'Fill', [], [1, height, width, 1], 'float32', [1]));
    return reduce(backend, 'Sum', keep(windows(backend, ones, sizes)), [3]);
  });
}

/**
 * tf.maxPool and tf.avgPool: the largest element, or the mean, of each window of images [batch, height, width,
 * channels]. Places outside of an image count in neither. NaN does not count in the largest. Their gradients are
 * here too.
 */
import {
  AvgPool,
  AvgPoolGrad,
  backend_util,
  MaxPool,
  MaxPoolGrad,
  type AvgPoolAttrs,
  type KernelConfig,
  type MaxPoolAttrs,
  type TensorInfo,
} from '@tensorflow/tfjs-core';

import type {NativeBackend} from '../types.js';
import {binary} from './binary.js';
import {scalar} from './Fill.js';
import {
  areFloat32,
  compute,
  createKernel,
  fallback,
  nativeDType,
  sameShape,
  withTemporaries,
  type Keep,
} from './kernel.js';
import {reduce} from './reduce.js';
import {fold, windowAttrs, windows, type Sizes} from './windows.js';

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

/**
 * A pooling kernel. Images of dtypes that are not in the list run on tfjs-backend-cpu.
 * @param mean the native attribute: 1 for the mean of each window, 0 for its largest element
 */
function createPool(kernelName: string, dtypes: readonly string[], mean: 0 | 1): KernelConfig {
  return createKernel<{x: TensorInfo}, MaxPoolAttrs | AvgPoolAttrs>(kernelName, (args) => {
    const {
      inputs: {x},
      attrs,
      backend,
    } = args;
    if (!dtypes.includes(x.dtype)) return fallback(kernelName, args);
    const sizes = sizesOf(x, attrs);
    if (keepsPixels(sizes)) return backend.alias(x);
    return compute(backend, 'Pool', [x], sizes.outShape, nativeDType(x), [mean, ...windowAttrs(sizes)]);
  });
}

export const maxPoolConfig = createPool(MaxPool, ['float32', 'int32'], 0);

export const avgPoolConfig = createPool(AvgPool, ['float32'], 1);

/** How many pixels of the image each window holds: [1, outHeight, outWidth, 1]. */
function counts(backend: NativeBackend, x: TensorInfo, sizes: Sizes): TensorInfo {
  return withTemporaries(backend, (keep) => {
    const [, height, width] = x.shape;
    const ones = keep(compute(backend, 'Fill', [], [1, height, width, 1], 'float32', [1]));
    return reduce(backend, 'Sum', keep(windows(backend, ones, sizes)), [3]);
  });
}

/** The gradient of a pooling kernel for float32 images. Other images run on tfjs-backend-cpu. */
function createPoolGrad(
  kernelName: string,
  gradient: (backend: NativeBackend, dy: TensorInfo, x: TensorInfo, sizes: Sizes, keep: Keep) => TensorInfo,
): KernelConfig {
  return createKernel<Record<'dy' | 'input', TensorInfo>, MaxPoolAttrs | AvgPoolAttrs>(kernelName, (args) => {
    const {
      inputs: {dy, input: x},
      attrs,
      backend,
    } = args;
    const sizes = sizesOf(x, attrs);
    if (!areFloat32(dy, x) || !sameShape(dy.shape, sizes.outShape)) return fallback(kernelName, args);
    if (keepsPixels(sizes)) return backend.alias(dy);
    return withTemporaries(backend, (keep) => gradient(backend, dy, x, sizes, keep));
  });
}

/** Where several elements of a window are the largest, the gradient belongs to the first, as in TensorFlow. */
export const maxPoolGradConfig = createPoolGrad(MaxPoolGrad, (backend, dy, x, sizes) =>
  compute(backend, 'MaxPoolGrad', [dy, x], x.shape, 'float32', windowAttrs(sizes)),
);

/**
 * Each pixel of a window gets the same share of dy. With 'same' padding, as in TensorFlow, the shares divide by the pixels
 * that the window has inside of the image, as the mean does; tfjs-backend-cpu divides by all places of the filter. With
 * padding in numbers, which TensorFlow does not have, TensorFlow.js's specs ask for that division.
 */
export const avgPoolGradConfig = createPoolGrad(AvgPoolGrad, (backend, dy, x, sizes, keep) => {
  const [batch, height, width, channels] = sizes.outShape;
  const divisor =
    sizes.padInfo.type === 'SAME'
      ? counts(backend, x, sizes)
      : scalar(backend, sizes.filterHeight * sizes.filterWidth, 'float32');
  const shares = keep(binary(backend, 'RealDiv', dy, keep(divisor)));
  const unfolded = keep(backend.alias(shares, [batch, height, width, 1, channels]));
  return fold(backend, unfolded, sizes, x.shape);
});

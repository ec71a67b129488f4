/**
 * Copies the windows that a filter covers in images side by side in memory. A convolution is then a product of
 * matrices, and pooling a reduction. Their gradients add windows back to the images.
 */
import type {backend_util, TensorInfo} from '@tensorflow/tfjs-core';

import type {NativeBackend} from '../types.js';
import {compute, withTemporaries} from './kernel.js';
import {pad} from './PadV2.js';
import {denseStrides, stridedCopy} from './stridedCopy.js';

/** Sizes of a 2D convolution or pooling of images [batch, height, width, channels]. */
export type Sizes = ReturnType<typeof backend_util.computeConv2DInfo>;

/** The sizes that say where windows lie. */
export type WindowSizes = Pick<
  Sizes,
  | 'outHeight'
  | 'outWidth'
  | 'filterHeight'
  | 'filterWidth'
  | 'strideHeight'
  | 'strideWidth'
  | 'dilationHeight'
  | 'dilationWidth'
> & {padInfo: {top: number; left: number}};

/**
 * The windows of x: [batch, outHeight, outWidth, filterHeight · filterWidth, channels]. They take filterHeight ·
 * filterWidth / (strideHeight · strideWidth) times the memory of x. x is copied once, and once more where it is padded;
 * not at all where each window is one pixel and the windows are x's pixels in order.
 * @param constant the elements of windows outside of x
 */
export function windows(backend: NativeBackend, x: TensorInfo, sizes: WindowSizes, constant = 0): TensorInfo {
  const {outHeight, outWidth, filterHeight, filterWidth, padInfo} = sizes;
  const [batch, , , channels] = x.shape;
  const shape = [batch, outHeight, outWidth, filterHeight * filterWidth, channels];
  const vertical = [outHeight, sizes.strideHeight, filterHeight, sizes.dilationHeight] as const;
  const horizontal = [outWidth, sizes.strideWidth, filterWidth, sizes.dilationWidth] as const;
  const bottom = after(x.shape[1] + padInfo.top, ...vertical);
  const right = after(x.shape[2] + padInfo.left, ...horizontal);
  const reaches = padInfo.top + padInfo.left + bottom + right > 0;
  return withTemporaries(backend, (keep) => {
    const paddings = [
      [0, 0],
      [padInfo.top, bottom],
      [padInfo.left, right],
      [0, 0],
    ] as const;
    const padded = reaches ? keep(pad(backend, x, paddings, {constant})) : x;
    if (filterHeight * filterWidth === 1 && outHeight === padded.shape[1] && outWidth === padded.shape[2])
      return backend.alias(padded, shape);
    const [image, row, pixel] = denseStrides(padded.shape);
    return stridedCopy(
      backend,
      padded,
      shape,
      0,
      [batch, outHeight, outWidth, filterHeight, filterWidth, channels],
      [
        ...[image, row * sizes.strideHeight, pixel * sizes.strideWidth],
        ...[row * sizes.dilationHeight, pixel * sizes.dilationWidth, 1],
      ],
    );
  });
}

/** How many places the last of `count` windows reaches past `size`, or 0. */
function after(size: number, count: number, stride: number, places: number, dilation: number): number {
  return Math.max(0, (count - 1) * stride + (places - 1) * dilation + 1 - size);
}

/** The attributes by which native kernels know a filter: those of cuda/core/windows.h. */
export function windowAttrs(sizes: WindowSizes): number[] {
  const {filterHeight, filterWidth, strideHeight, strideWidth, dilationHeight, dilationWidth, padInfo} =
    sizes;
  return [
    ...[filterHeight, filterWidth, strideHeight, strideWidth],
    ...[dilationHeight, dilationWidth, padInfo.top, padInfo.left],
  ];
}

/**
 * The images of `shape` whose pixels are the sums of what the windows over them hold. This is the gradient of
 * {@link windows}.
 * @param unfolded windows [batch, outHeight, outWidth, filterHeight · filterWidth, channels], or with 1 place if all
 *     places of a window hold the same numbers
 */
export function fold(
  backend: NativeBackend,
  unfolded: TensorInfo,
  sizes: WindowSizes,
  shape: number[],
): TensorInfo {
  const {outHeight, outWidth, filterHeight, filterWidth, padInfo} = sizes;
  const moves = padInfo.top + padInfo.left > 0 || outHeight !== shape[1] || outWidth !== shape[2];
  if (filterHeight * filterWidth === 1 && !moves) return backend.alias(unfolded, shape);
  return compute(backend, 'Fold', [unfolded], shape, 'float32', windowAttrs(sizes));
}

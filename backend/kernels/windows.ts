/**
 * Copies the windows that a filter covers in images side by side in memory. A convolution is then a product of
 * matrices, and pooling a reduction.
 */
import type {backend_util, TensorInfo} from '@tensorflow/tfjs-core';

import type {NativeBackend} from '../types.js';
import {withTemporaries} from './kernel.js';
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

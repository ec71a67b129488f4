/**
 * The gradients of Conv2D with respect to its filter and to its images, for images [batch, height, width, channels] and
 * without dilation. tf.conv2dTranspose is the gradient with respect to the images. Each gradient is one product of
 * matrices.
 */
import {
  Conv2DBackpropFilter,
  Conv2DBackpropInput,
  util,
  type Conv2DBackpropFilterAttrs,
  type Conv2DBackpropInputAttrs,
  type TensorInfo,
} from '@tensorflow/tfjs-core';

import type {NativeBackend} from '../types.js';
import {matMul} from './BatchMatMul.js';
import {convolutionSizes, pixelsOf} from './convolution.js';
import {areFloat32, createKernel, fallback, sameShape, withTemporaries} from './kernel.js';
import {pad} from './PadV2.js';
import {stridedCopy} from './stridedCopy.js';
import {windows, type Sizes} from './windows.js';

/** The gradient of the filter: the windows that the filter was applied to, transposed, times dy. */
export const conv2DBackpropFilterConfig = createKernel<
  Record<'x' | 'dy', TensorInfo>,
  Conv2DBackpropFilterAttrs
>(Conv2DBackpropFilter, (args) => {
  const {
    inputs: {x, dy},
    attrs,
    backend,
  } = args;
  const {filterShape, dataFormat} = attrs;
  if (dataFormat !== 'NHWC' || !areFloat32(x, dy)) return fallback(Conv2DBackpropFilter, args);
  const sizes = convolutionSizes(x.shape, filterShape, attrs);
  const {outShape, outChannels} = sizes;
  if (!sameShape(dy.shape, outShape)) return fallback(Conv2DBackpropFilter, args);
  const pixels = pixelsOf(sizes);
  return withTemporaries(backend, (keep) => {
    const unfolded = keep(windows(backend, x, sizes));
    const rows = keep(backend.alias(unfolded, [pixels, util.sizeFromShape(filterShape) / outChannels]));
    const came = keep(backend.alias(dy, [pixels, outChannels]));
    const product = keep(matMul(backend, rows, came, {transposeA: true, transposeB: false}));
    return backend.alias(product, filterShape);
  });
});

/**
 * The gradient of the images: dy, with zeros between its pixels for strides above 1, convolved with the reversed
 * filter.
 */
export const conv2DBackpropInputConfig = createKernel<
  Record<'dy' | 'filter', TensorInfo>,
  Conv2DBackpropInputAttrs
>(Conv2DBackpropInput, (args) => {
  const {
    inputs: {dy, filter},
    attrs,
    backend,
  } = args;
  const {inputShape, dataFormat} = attrs;
  if (dataFormat !== 'NHWC' || !areFloat32(dy, filter)) return fallback(Conv2DBackpropInput, args);
  const sizes = convolutionSizes(inputShape, filter.shape, attrs);
  const {inHeight, inWidth, inChannels, outChannels, filterHeight, filterWidth, padInfo} = sizes;
  const [top, left] = [filterHeight - 1 - padInfo.top, filterWidth - 1 - padInfo.left];
  // `windows` takes no negative margins, which a padding wider than the filter would need.
  const fits = top >= 0 && left >= 0 && sameShape(dy.shape, sizes.outShape);
  if (!fits) return fallback(Conv2DBackpropInput, args);
  return withTemporaries(backend, (keep) => {
    const spread = keep(withZerosBetween(backend, dy, sizes));
    const unfolded = keep(
      windows(backend, spread, {
        ...{outHeight: inHeight, outWidth: inWidth, filterHeight, filterWidth, padInfo: {top, left}},
        ...{strideHeight: 1, strideWidth: 1, dilationHeight: 1, dilationWidth: 1},
      }),
    );
    const pixels = util.sizeFromShape(inputShape) / inChannels;
    const rows = keep(backend.alias(unfolded, [pixels, filterHeight * filterWidth * outChannels]));
    const turned = keep(turnedFilter(backend, filter));
    const product = keep(matMul(backend, rows, turned, {transposeA: false, transposeB: false}));
    return backend.alias(product, inputShape);
  });
});

/** `dy` with strideHeight − 1 rows of zeros after each row and strideWidth − 1 columns of zeros after each column. */
function withZerosBetween(
  backend: NativeBackend,
  dy: TensorInfo,
  {strideHeight, strideWidth}: Sizes,
): TensorInfo {
  if (strideHeight === 1 && strideWidth === 1) return backend.alias(dy);
  return withTemporaries(backend, (keep) => {
    const [batch, height, width, channels] = dy.shape;
    const apart = keep(backend.alias(dy, [batch, height, 1, width, 1, channels]));
    const paddings = [
      [0, 0],
      [0, 0],
      [0, strideHeight - 1],
      [0, 0],
      [0, strideWidth - 1],
      [0, 0],
    ] as const;
    const spread = keep(pad(backend, apart, paddings));
    return backend.alias(spread, [batch, height * strideHeight, width * strideWidth, channels]);
  });
}

/**
 * A filter [height, width, inChannels, outChannels] with its places reversed, as a matrix [height · width ·
 * outChannels, inChannels].
 */
function turnedFilter(backend: NativeBackend, filter: TensorInfo): TensorInfo {
  const [height, width, inputs, outputs] = filter.shape;
  const place = inputs * outputs;
  return stridedCopy(
    backend,
    filter,
    [height * width * outputs, inputs],
    (height * width - 1) * place,
    [height * width, outputs, inputs],
    [-place, 1, outputs],
  );
}

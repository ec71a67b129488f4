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

import {matMul} from './BatchMatMul.js';
import {convolutionSizes, pixelsOf} from './convolution.js';
import {areFloat32, createKernel, fallback, sameShape, withTemporaries} from './kernel.js';
import {permute} from './stridedCopy.js';
import {fold, windows} from './windows.js';

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

/** The gradient of the images: dy times the filter gives a number for each place of each window; these are added up. */
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
  const {outShape, outChannels, inChannels, filterHeight, filterWidth} = sizes;
  if (!sameShape(dy.shape, outShape)) return fallback(Conv2DBackpropInput, args);
  const places = filterHeight * filterWidth;
  return withTemporaries(backend, (keep) => {
    const came = keep(backend.alias(dy, [pixelsOf(sizes), outChannels]));
    const dims = [places * inChannels, outChannels];
    const turned = keep(permute(backend, filter, dims, [1, 0], [outChannels, places * inChannels]));
    const product = keep(matMul(backend, came, turned, {transposeA: false, transposeB: false}));
    const unfolded = keep(backend.alias(product, [...outShape.slice(0, 3), places, inChannels]));
    return fold(backend, unfolded, sizes, inputShape);
  });
});

/**
 * The gradients of DepthwiseConv2dNative with respect to its images [batch, height, width, channels] and to its filter
 * [height, width, channels, multiplier].
 */
import {
  DepthwiseConv2dNativeBackpropFilter,
  DepthwiseConv2dNativeBackpropInput,
  type DepthwiseConv2dNativeBackpropFilterAttrs,
  type DepthwiseConv2dNativeBackpropInputAttrs,
  type TensorInfo,
} from '@tensorflow/tfjs-core';

import {convolutionSizes} from './convolution.js';
import {depthwise} from './depthwise.js';
import {areFloat32, createKernel, fallback} from './kernel.js';

export const depthwiseBackpropInputConfig = createKernel<
  Record<'dy' | 'filter', TensorInfo>,
  DepthwiseConv2dNativeBackpropInputAttrs
>(DepthwiseConv2dNativeBackpropInput, (args) => {
  const {
    inputs: {dy, filter},
    attrs,
    backend,
  } = args;
  if (!areFloat32(dy, filter)) return fallback(DepthwiseConv2dNativeBackpropInput, args);
  const sizes = convolutionSizes(attrs.inputShape, filter.shape, attrs, true);
  return depthwise(backend, 'x', [filter, dy], attrs.inputShape, sizes);
});

export const depthwiseBackpropFilterConfig = createKernel<
  Record<'x' | 'dy', TensorInfo>,
  DepthwiseConv2dNativeBackpropFilterAttrs
>(DepthwiseConv2dNativeBackpropFilter, (args) => {
  const {
    inputs: {x, dy},
    attrs,
    backend,
  } = args;
  if (!areFloat32(x, dy)) return fallback(DepthwiseConv2dNativeBackpropFilter, args);
  const sizes = convolutionSizes(x.shape, attrs.filterShape, attrs, true);
  return depthwise(backend, 'filter', [x, dy], attrs.filterShape, sizes);
});

/**
 * What the convolutions of images [batch, height, width, channels] share: the sizes of the problem, and the steps of
 * Conv2D and DepthwiseConv2dNative before and after the product of windows and filter.
 */
import {
  backend_util,
  util,
  type Conv2DAttrs,
  type FusedConv2DAttrs,
  type KernelConfig,
  type TensorInfo,
} from '@tensorflow/tfjs-core';

import type {NativeBackend} from '../types.js';
import type {Activation} from './activation.js';
import {areFloat32, createKernel, fallback, withTemporaries, type Keep} from './kernel.js';
import type {Sizes} from './windows.js';

type Shape4 = [number, number, number, number];

export type ConvolutionAttrs = Pick<Conv2DAttrs, 'strides' | 'pad' | 'dimRoundingMode'> & {
  dilations?: Conv2DAttrs['dilations'];
};

/**
 * The sizes of a convolution.
 * @param images shape of the images
 * @param filter shape of the filter [height, width, channels, outputs]
 */
export function convolutionSizes(
  images: number[],
  filter: number[],
  {strides, pad, dimRoundingMode, dilations}: ConvolutionAttrs,
  depthwise = false,
): Sizes {
  return backend_util.computeConv2DInfo(
    images as Shape4,
    filter as Shape4,
    strides,
    dilations ?? 1,
    pad,
    dimRoundingMode,
    depthwise,
  );
}

/** Number of pixels of all output images together. */
export function pixelsOf({outShape, outChannels}: Sizes): number {
  return util.sizeFromShape(outShape) / outChannels;
}

interface Inputs {
  x: TensorInfo;
  filter: TensorInfo;
  bias?: TensorInfo;
  preluActivationWeights?: TensorInfo;
}

export interface Convolution {
  depthwise: boolean;
  /** Whether `product` can add this bias. */
  takesBias: (bias: TensorInfo) => boolean;
  /** Multiplies the windows of the images `x` by the filter, then adds the bias and applies the activation. */
  product: (
    backend: NativeBackend,
    x: TensorInfo,
    filter: TensorInfo,
    sizes: Sizes,
    last: Activation & {bias?: TensorInfo},
    keep: Keep,
  ) => TensorInfo;
}

/**
 * A convolution kernel, plain or fused with bias and activation. Layouts other than NHWC and other dtypes run on
 * tfjs-backend-cpu.
 */
export function createConvolution(
  kernelName: string,
  {depthwise, takesBias, product}: Convolution,
): KernelConfig {
  return createKernel<Inputs, Conv2DAttrs & Partial<FusedConv2DAttrs>>(kernelName, (args) => {
    const {inputs, attrs, backend} = args;
    const {x, filter, bias, preluActivationWeights} = inputs;
    const isNHWC = (attrs.dataFormat ?? 'NHWC') === 'NHWC';
    if (!isNHWC || !areFloat32(x, filter, bias, preluActivationWeights) || (bias && !takesBias(bias)))
      return fallback(kernelName, args);
    const sizes = convolutionSizes(x.shape, filter.shape, attrs, depthwise);
    return withTemporaries(backend, (keep) =>
      product(backend, x, filter, sizes, {...attrs, ...inputs}, keep),
    );
  });
}

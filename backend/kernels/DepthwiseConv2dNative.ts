/**
 * Convolutions of each channel of images [batch, height, width, channels] on its own, alone and with bias and activation: the windows
 * side by side, times the filter, summed. Other layouts and dtypes run on tfjs-backend-cpu.
 */
import {
  backend_util,
  DepthwiseConv2dNative,
  FusedDepthwiseConv2D,
  util,
  type DepthwiseConv2dNativeAttrs,
  type FusedDepthwiseConv2DAttrs,
  type TensorInfo,
} from '@tensorflow/tfjs-core';

import {activate} from './activation.js';
import {binary} from './binary.js';
import {createKernel, fallback, withTemporaries, type KernelArgs} from './kernel.js';
import {reduce} from './reduce.js';
import {windows} from './windows.js';

interface Inputs {
  x: TensorInfo;
  filter: TensorInfo;
  bias?: TensorInfo;
  preluActivationWeights?: TensorInfo;
}

type Attrs = DepthwiseConv2dNativeAttrs & Partial<FusedDepthwiseConv2DAttrs>;

function depthwiseConv2D(kernelName: string, args: KernelArgs<Inputs, Attrs>): TensorInfo | TensorInfo[] {
  const {inputs, attrs, backend} = args;
  const {x, filter, bias} = inputs;
  const {strides, pad, dataFormat = 'NHWC', dilations, dimRoundingMode} = attrs;
  for (const input of [x, filter, bias, inputs.preluActivationWeights])
    if (input && input.dtype !== 'float32') return fallback(kernelName, args);
  if (dataFormat !== 'NHWC') return fallback(kernelName, args);
  const sizes = backend_util.computeConv2DInfo(
    x.shape as [number, number, number, number],
    filter.shape as [number, number, number, number],
    strides,
    dilations ?? [1, 1],
    pad,
    dimRoundingMode,
    true,
  );
  const {outShape, outChannels, inChannels, filterHeight, filterWidth} = sizes;
  const places = filterHeight * filterWidth;
  return withTemporaries(backend, (keep) => {
    const unfolded = keep(windows(backend, x, sizes));
    const pixels = util.sizeFromShape(outShape) / outChannels;
    const rows = keep(backend.alias(unfolded, [pixels, places, inChannels, 1]));
    const weights = keep(backend.alias(filter, [places, ...filter.shape.slice(2)]));
    const products = keep(binary(backend, 'Multiply', rows, weights));
    let y = keep(backend.alias(keep(reduce(backend, 'Sum', products, [1])), outShape));
    if (bias) y = keep(binary(backend, 'Add', y, bias));
    return activate(backend, y, {...attrs, ...inputs});
  });
}

export const depthwiseConv2DConfigs = [DepthwiseConv2dNative, FusedDepthwiseConv2D].map((name) =>
  createKernel<Inputs, Attrs>(name, (args) => depthwiseConv2D(name, args)),
);

/**
 * Convolutions of images [batch, height, width, channels], alone and with bias and activation: the windows side by side, times the
 * filter. Other layouts and dtypes run on tfjs-backend-cpu.
 */
import {
  backend_util,
  Conv2D,
  FusedConv2D,
  util,
  type Conv2DAttrs,
  type FusedConv2DAttrs,
  type TensorInfo,
} from '@tensorflow/tfjs-core';

import {activatedMatMul} from './activation.js';
import {createKernel, fallback, withTemporaries, type KernelArgs} from './kernel.js';
import {windows} from './windows.js';

interface Inputs {
  x: TensorInfo;
  filter: TensorInfo;
  bias?: TensorInfo;
  preluActivationWeights?: TensorInfo;
}

type Attrs = Conv2DAttrs & Partial<FusedConv2DAttrs>;

function conv2D(kernelName: string, args: KernelArgs<Inputs, Attrs>): TensorInfo | TensorInfo[] {
  const {inputs, attrs, backend} = args;
  const {x, filter, bias} = inputs;
  const {strides, pad, dataFormat = 'NHWC', dilations, dimRoundingMode} = attrs;
  for (const input of [x, filter, bias, inputs.preluActivationWeights])
    if (input && input.dtype !== 'float32') return fallback(kernelName, args);
  if (dataFormat !== 'NHWC' || (bias && bias.shape.length > 1)) return fallback(kernelName, args);
  const sizes = backend_util.computeConv2DInfo(
    x.shape as [number, number, number, number],
    filter.shape as [number, number, number, number],
    strides,
    dilations,
    pad,
    dimRoundingMode,
  );
  const {outShape, outChannels, inChannels, filterHeight, filterWidth} = sizes;
  const places = filterHeight * filterWidth;
  return withTemporaries(backend, (keep) => {
    const unfolded = keep(windows(backend, x, sizes));
    const rows = keep(
      backend.alias(unfolded, [util.sizeFromShape(outShape) / outChannels, places * inChannels]),
    );
    const columns = keep(backend.alias(filter, [places * filter.shape[2], outChannels]));
    const product = {transposeA: false, transposeB: false, bias};
    return activatedMatMul(backend, rows, columns, product, {...attrs, ...inputs}, outShape);
  });
}

export const conv2DConfigs = [Conv2D, FusedConv2D].map((name) =>
  createKernel<Inputs, Attrs>(name, (args) => conv2D(name, args)),
);

/** tf.conv2d and tf.fused.conv2d: one product of matrices, the windows of all pixels times the filter. */
import {Conv2D, FusedConv2D} from '@tensorflow/tfjs-core';

import {activatedMatMul} from './activation.js';
import {createConvolution, pixelsOf, type Convolution} from './convolution.js';
import {windows} from './windows.js';

const CONV_2D: Convolution = {
  depthwise: false,
  takesBias: (bias) => bias.shape.length <= 1,

  product(backend, x, filter, sizes, last, keep) {
    const {outShape, outChannels, inChannels, filterHeight, filterWidth} = sizes;
    const places = filterHeight * filterWidth;
    const unfolded = keep(windows(backend, x, sizes));
    const rows = keep(backend.alias(unfolded, [pixelsOf(sizes), places * inChannels]));
    const columns = keep(backend.alias(filter, [places * filter.shape[2], outChannels]));
    const product = {transposeA: false, transposeB: false, bias: last.bias};
    return activatedMatMul(backend, rows, columns, product, last, outShape);
  },
};

export const conv2DConfigs = [Conv2D, FusedConv2D].map((name) => createConvolution(name, CONV_2D));

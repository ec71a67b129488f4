/** tf.depthwiseConv2d and its fused form: each channel's windows are multiplied by that channel's filter and summed. */
import {DepthwiseConv2dNative, FusedDepthwiseConv2D} from '@tensorflow/tfjs-core';

import {activate} from './activation.js';
import {binary} from './binary.js';
import {createConvolution, pixelsOf, type Convolution} from './convolution.js';
import {reduce} from './reduce.js';

const DEPTHWISE: Convolution = {
  depthwise: true,
  takesBias: () => true,

  product(backend, unfolded, filter, sizes, last, keep) {
    const places = sizes.filterHeight * sizes.filterWidth;
    const rows = keep(backend.alias(unfolded, [pixelsOf(sizes), places, sizes.inChannels, 1]));
    const weights = keep(backend.alias(filter, [places, ...filter.shape.slice(2)]));
    const products = keep(binary(backend, 'Multiply', rows, weights));
    let y = keep(backend.alias(keep(reduce(backend, 'Sum', products, [1])), sizes.outShape));
    if (last.bias) y = keep(binary(backend, 'Add', y, last.bias));
    return activate(backend, y, last);
  },
};

export const depthwiseConv2DConfigs = [DepthwiseConv2dNative, FusedDepthwiseConv2D].map((name) =>
  createConvolution(name, DEPTHWISE),
);

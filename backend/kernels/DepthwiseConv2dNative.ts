/** tf.depthwiseConv2d and its fused form: each channel's windows are multiplied by that channel's filter and summed. */
import {DepthwiseConv2dNative, FusedDepthwiseConv2D} from '@tensorflow/tfjs-core';

import {activate} from './activation.js';
import {binary} from './binary.js';
import {createConvolution, type Convolution} from './convolution.js';
import {depthwise} from './depthwise.js';

const DEPTHWISE: Convolution = {
  depthwise: true,
  takesBias: () => true,

  product(backend, x, filter, sizes, last, keep) {
    let y = keep(depthwise(backend, 'y', [x, filter], sizes.outShape, sizes));
    if (last.bias) y = keep(binary(backend, 'Add', y, last.bias));
    return activate(backend, y, last);
  },
};

export const depthwiseConv2DConfigs = [DepthwiseConv2dNative, FusedDepthwiseConv2D].map((name) =>
  createConvolution(name, DEPTHWISE),
);

/** The k largest elements of the last axis with their indices, descending, ties to the lower index: tf.topk, always sorted. */
import {TopK, type TensorInfo, type TopKAttrs} from '@tensorflow/tfjs-core';

import {createKernel, nativeDType} from './kernel.js';

export const topKConfig = createKernel<{x: TensorInfo}, TopKAttrs>(
  TopK,
  ({inputs: {x}, attrs: {k}, backend}) => {
    const shape = x.shape.slice();
    shape[shape.length - 1] = k;
    const outputs = [backend.output(shape, nativeDType(x)), backend.output(shape.slice(), 'int32')];
    try {
      backend.launch('TopK', [x], outputs);
    } catch (error) {
      outputs.forEach((y) => backend.disposeIntermediateTensorInfo(y));
      throw error;
    }
    return outputs;
  },
);

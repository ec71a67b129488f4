/**
 * tf.topk: the k largest elements of the last axis and their indices, always in descending order; ties go to the lower
 * index.
 */
import {TopK, type TensorInfo, type TopKAttrs} from '@tensorflow/tfjs-core';

import {computeAll, createKernel, nativeDType} from './kernel.js';

export const topKConfig = createKernel<{x: TensorInfo}, TopKAttrs>(
  TopK,
  ({inputs: {x}, attrs: {k}, backend}) => {
    const shape = x.shape.slice();
    shape[shape.length - 1] = k;
    const dtypes = [nativeDType(x), 'int32'] as const;
    const outputs = computeAll(backend, 2, (i) => backend.output(shape.slice(), dtypes[i]));
    try {
      backend.launch('TopK', [x], outputs);
    } catch (error) {
      outputs.forEach((y) => backend.disposeIntermediateTensorInfo(y));
      throw error;
    }
    return outputs;
  },
);

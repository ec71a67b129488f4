/** tf.softmax and tf.logSoftmax over the last axis, each in one launch. */
import {LogSoftmax, Softmax, type TensorInfo} from '@tensorflow/tfjs-core';

import {compute, createKernel, fallback} from './kernel.js';

interface Attrs {
  /** The axis, as Softmax names it. */
  dim?: number;
  /** The axis, as LogSoftmax names it. */
  axis?: number;
}

export const softmaxConfigs = [Softmax, LogSoftmax].map((name) =>
  createKernel<{logits: TensorInfo}, Attrs>(name, (args) => {
    const {
      inputs: {logits},
      attrs,
      backend,
    } = args;
    const last = logits.shape.length - 1;
    const axis = (name === Softmax ? attrs.dim : attrs.axis) ?? last;
    if (axis !== -1 && axis !== last)
      throw new Error(`[${name}] axis must be the last, ${last}, but is ${axis}`);
    if (logits.dtype !== 'float32') return fallback(name, args);
    return compute(backend, 'Softmax', [logits], logits.shape, 'float32', [name === Softmax ? 0 : 1]);
  }),
);

/** The op RMSNorm divides each row by its root mean square and multiplies it by a weight. */
import * as tf from '@tensorflow/tfjs-core';
import type {Tensor, Tensor1D, Tensor2D} from '@tensorflow/tfjs-core';

import {checkValue} from '../backend/check.js';
import {ANY, checkTensor, EPSILON} from './check.js';
import {defineOp, launch} from './define_op.js';

const name = 'RMSNorm';

const run = defineOp({
  name,
  attrs: {epsilon: 1e-5},

  check([x, weight], {epsilon}) {
    checkTensor(name, 'x', x, 'float32', [ANY, ANY]);
    checkTensor(name, 'weight', weight, 'float32', [x.shape[1]]);
    checkValue(name, 'epsilon', epsilon, EPSILON);
  },

  native(backend, inputs, {epsilon}) {
    return launch(backend, name, inputs, [[inputs[0].shape, 'float32']], [epsilon])[0];
  },

  composed([x, weight]: [Tensor2D, Tensor1D], {epsilon}) {
    const meanSquare = tf.mean(tf.square(x), 1, true);
    return tf.mul(tf.mul(x, tf.rsqrt(tf.add(meanSquare, epsilon))), weight);
  },
});

/**
 * Normalises every row by its root mean square:
 *
 *     y[t,e] = x[t,e] / sqrt(mean_e(x[t,e]²) + epsilon) · weight[e]
 *
 * ```ts
 * rmsNorm(tf.tensor2d([[3, 4]]), tf.tensor1d([1, 1]), 0).print(); // [[0.8485281, 1.1313709]]
 * ```
 *
 * Source: Zhang and Sennrich, Root Mean Square Layer Normalization, arXiv 1910.07467; as in Hugging Face's
 * LlamaRMSNorm.
 *
 * @param x float32 [T,E]
 * @param weight float32 [E]
 * @param epsilon added to the mean square, 0 or more; 1e-5 by default
 * @returns float32 [T,E]
 * @throws Error naming the op and the argument, if a shape or dtype does not fit
 */
export function rmsNorm(x: Tensor, weight: Tensor, epsilon?: number): Tensor2D {
  return run([x, weight], {epsilon}) as Tensor2D;
}

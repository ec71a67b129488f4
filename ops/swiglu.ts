/** The op SwiGLU applies the gated activation of a Llama's MLP. */
import * as tf from '@tensorflow/tfjs-core';
import type {Tensor, Tensor2D} from '@tensorflow/tfjs-core';

import {ANY, checkTensor} from './check.js';
import {defineOp, launch} from './define_op.js';

const name = 'SwiGLU';

const run = defineOp({
  name,
  attrs: {},

  check([x]) {
    checkTensor(name, 'x', x, 'float32', [ANY, ANY]);
    if (x.shape[1] % 2 !== 0)
      throw new Error(`[${name}] x must have an even width (gate, up) but has ${x.shape[1]}`);
  },

  native(backend, inputs) {
    const [rows, width] = inputs[0].shape;
    return launch(backend, name, inputs, [[[rows, width / 2], 'float32']])[0];
  },

  composed([x]: [Tensor2D]) {
    const [gate, up] = tf.split(x, 2, 1);
    return tf.mul(tf.mul(gate, tf.sigmoid(gate)), up);
  },
});

/**
 * The gated activation of a Llama's MLP. A row of x holds the gate projection, then the up projection:
 *
 *     y[t,f] = silu(x[t,f]) · x[t,F + f],  silu(z) = z / (1 + exp(−z))
 *
 * ```ts
 * swiGLU(tf.tensor2d([[1, 2]])).print(); // [[1.4621172]]: silu(1) · 2
 * ```
 *
 * Source: Shazeer, GLU Variants Improve Transformer, arXiv 2002.05202.
 *
 * @param x float32 [T,2F]: gate, then up
 * @returns float32 [T,F]
 * @throws Error naming the op, if the shape or dtype of x does not fit
 */
export function swiGLU(x: Tensor): Tensor2D {
  return run([x]) as Tensor2D;
}

/** The op RotaryEmbedding rotates pairs of a head's elements by angles that grow with the row's position. */
import * as tf from '@tensorflow/tfjs-core';
import type {Tensor, Tensor1D, Tensor3D} from '@tensorflow/tfjs-core';

import {checkValue} from '../backend/check.js';
import {ANY, checkPosition, checkTensor, FINITE} from './check.js';
import {defineOp, launch} from './define_op.js';

const name = 'RotaryEmbedding';

const run = defineOp({
  name,
  attrs: {scale: 1},

  check([x, position, frequencies], {scale}) {
    checkTensor(name, 'x', x, 'float32', [ANY, ANY, ANY]);
    const headSize = x.shape[2];
    if (headSize % 2 !== 0) throw new Error(`[${name}] x must have an even head size but has ${headSize}`);
    checkPosition(name, position);
    checkTensor(name, 'frequencies', frequencies, 'float32', [headSize / 2]);
    checkValue(name, 'scale', scale, FINITE);
  },

  native(backend, inputs, {scale}) {
    return launch(backend, name, inputs, [[inputs[0].shape, 'float32']], [scale])[0];
  },

  composed([x, position, frequencies]: [Tensor3D, Tensor1D, Tensor1D], {scale}) {
    const [rows, , headSize] = x.shape;
    const positions = tf.cast(tf.add(position, tf.range(0, rows, 1, 'int32')), 'float32');
    // Angles are computed in float32, as in the reference implementations.
    const angles = tf.mul(tf.reshape(positions, [rows, 1, 1]), tf.reshape(frequencies, [1, 1, headSize / 2]));
    const cos = tf.mul(tf.cos(angles), scale);
    const sin = tf.mul(tf.sin(angles), scale);
    const [a, b] = tf.split(x, 2, 2);
    return tf.concat([tf.sub(tf.mul(a, cos), tf.mul(b, sin)), tf.add(tf.mul(b, cos), tf.mul(a, sin))], 2);
  },
});

/**
 * Rotates the pairs (i, i + D/2) of every head by an angle that grows with the row's position:
 *
 *     angle = (position + t) · frequencies[i]
 *     y[t,h,i]       = scale · (x[t,h,i] · cos(angle) − x[t,h,i + D/2] · sin(angle))
 *     y[t,h,i + D/2] = scale · (x[t,h,i + D/2] · cos(angle) + x[t,h,i] · sin(angle))
 *
 * ```ts
 * const quarterTurn = tf.tensor1d([Math.PI / 2]);
 * rotaryEmbedding(tf.tensor3d([[[1, 0]]]), tf.tensor1d([1], 'int32'), quarterTurn).print(); // [[[0, 1]]]
 * ```
 *
 * Source: Su et al., RoFormer, arXiv 2104.09864; the pairs are those of Hugging Face's Llama (`rotate_half`). The
 * scaled variants (linear, llama3, YaRN) differ only in `frequencies` and `scale`.
 *
 * @param x float32 [T,H,D], D even
 * @param position int32 [1]: the position of row 0 in the sequence
 * @param frequencies float32 [D/2], in radians per position; Hugging Face's `inv_freq`
 * @param scale factor of cos and sin, 1 by default; YaRN's attention factor
 * @returns float32 [T,H,D]
 * @throws Error naming the op and the argument, if a shape or dtype does not fit
 */
export function rotaryEmbedding(x: Tensor, position: Tensor, frequencies: Tensor, scale?: number): Tensor3D {
  return run([x, position, frequencies], {scale}) as Tensor3D;
}

/** Attention composed of tfjs-core's ops, for the fallbacks of CausalAttention and SparseAttention. */
import * as tf from '@tensorflow/tfjs-core';
import type {Tensor2D, Tensor3D} from '@tensorflow/tfjs-core';

/**
 * softmax(scale · q kᵀ) v over the keys that each row sees. A row that sees no key gives zeros. A row's result does not
 * depend on the other rows, since a key that the row does not see adds an exact 0.
 *
 * @param q [T,H,D]
 * @param k [G,L,D]; query head h reads KV head floor(h / (H / G))
 * @param v [G,L,D]
 * @param visible bool [T,L]
 * @returns out [T,H,D] and weights [H,T,L]
 */
export function maskedAttention(
  q: Tensor3D,
  k: Tensor3D,
  v: Tensor3D,
  visible: Tensor2D,
  scale: number,
): {out: Tensor3D; weights: Tensor3D} {
  const [rows, heads, headSize] = q.shape;
  const [kvHeads, keys] = k.shape;
  const byKVHead = [kvHeads, (heads / kvHeads) * rows];
  const queries = tf.reshape(tf.transpose(tf.mul(q, scale), [1, 0, 2]), [...byKVHead, headSize]);
  const scores = tf.reshape(tf.matMul(queries, k, false, true), [heads, rows, keys]);
  const weights = tf.where(visible, tf.softmax(tf.where(visible, scores, -Infinity)), 0) as Tensor3D;
  const out = tf.matMul(tf.reshape(weights, [...byKVHead, keys]), v);
  return {out: tf.transpose(tf.reshape(out, [heads, rows, headSize]), [1, 0, 2]), weights};
}

/** The position of row 0 as attention counts it: before the first place it is 0, after the last place `capacity`. */
export function clampPosition(position: number, capacity: number): number {
  return Math.min(Math.max(position, 0), capacity);
}

/**
 * x[:, from:to, :] of a cache [G,C,D], cut head by head. tfjs-backend-cpu copies the slice of one KV head at once,
 * since it is contiguous; it copies a slice over all heads element by element, a hundred times slower.
 */
export function sliceKeys(x: Tensor3D, from: number, to: number): Tensor3D {
  const [kvHeads, , headSize] = x.shape;
  const parts = Array.from({length: kvHeads}, (_, g) => tf.slice(x, [g, from, 0], [1, to - from, headSize]));
  return tf.concat(parts, 0);
}

/** The op CausalAttention lets each row attend to the keys of a cache up to its own position. */
import * as tf from '@tensorflow/tfjs-core';
import type {Tensor, Tensor1D, Tensor2D, Tensor3D} from '@tensorflow/tfjs-core';

import {checkValue, refuse} from '../backend/check.js';
import {ANY, checkAttention, checkPosition, checkTensor, FINITE, oneOfNames, WINDOW} from './check.js';
import {defineOp, launch} from './define_op.js';
import {clampPosition, maskedAttention, sliceKeys} from './masked_attention.js';

const name = 'CausalAttention';

/**
 * Which attention weights to return: none, their mean over the heads, or one row for each head. The native attribute
 * numbers them in this order.
 */
const WEIGHTS = ['none', 'layer', 'head'] as const;
export type AttentionWeights = (typeof WEIGHTS)[number];
const IS_WEIGHTS = oneOfNames(WEIGHTS);

export interface CausalAttentionOptions {
  /** Factor of the scores q · k; 0, the default, means 1/√D. */
  scale?: number;
  /** Which attention weights to return; `none` by default. */
  weights?: AttentionWeights;
  /** Sliding window: how many keys a row sees at most, the last ones up to its own; 0, the default, sets no limit. */
  window?: number;
  /**
   * int32 [R]: the heads, from 0 to H − 1, whose weights are returned; all heads if left out. Only with `weights:
   * 'head'`. The native kernel gives zeros for a head that does not exist.
   */
  heads?: Tensor;
}

type Attrs = Required<Omit<CausalAttentionOptions, 'heads'>>;

const run = defineOp<Attrs>({
  name,
  attrs: {scale: 0, weights: 'none', window: 0},

  check([q, k, v, position, heads], {scale, weights, window}) {
    checkAttention(name, q, k, v);
    checkPosition(name, position);
    checkValue(name, 'scale', scale, FINITE);
    checkValue(name, 'weights', weights, IS_WEIGHTS);
    checkValue(name, 'window', window, WINDOW);
    if (!heads) return;
    checkTensor(name, 'heads', heads, 'int32', [ANY]);
    if (heads.shape[0] === 0) throw new Error(`[${name}] heads must name one or more but has none`);
    if (weights !== 'head') refuse(name, 'weights', "'head' where heads are named", weights);
  },

  native(backend, inputs, {scale, weights, window}) {
    const [rows, heads, headSize] = inputs[0].shape;
    const capacity = inputs[1].shape[1];
    const attrs = [scale || 1 / Math.sqrt(headSize), WEIGHTS.indexOf(weights), window];
    if (weights === 'none') return launch(backend, name, inputs, [[inputs[0].shape, 'float32']], attrs)[0];
    const weighed = inputs[4]?.shape[0] ?? heads;
    const weightsShape = weights === 'layer' ? [rows, capacity] : [weighed, rows, capacity];
    return launch(
      backend,
      name,
      inputs,
      [
        [inputs[0].shape, 'float32'],
        [weightsShape, 'float32'],
      ],
      attrs,
    );
  },

  // Reading `position` waits for the device, but spares the work on keys past the last row. Keys before the window take part
  // with a weight of 0, so that sums have the same order whatever the rows of the call.
  composed(inputs: Tensor[], {scale, weights, window}) {
    const [q, k, v, position, heads] = inputs as [Tensor3D, Tensor3D, Tensor3D, Tensor1D, Tensor1D?];
    const [rows, , headSize] = q.shape;
    const capacity = k.shape[1];
    const start = clampPosition(position.dataSync()[0], capacity);
    const end = Math.min(capacity, start + rows);
    const seen = (x: Tensor3D): Tensor3D => sliceKeys(x, 0, end);
    const places = tf.range(0, end, 1, 'int32');
    const last = tf.reshape(tf.range(start, start + rows, 1, 'int32'), [rows, 1]);
    let visible: Tensor2D = tf.lessEqual(places, last);
    if (window > 0) visible = tf.logicalAnd(visible, tf.greater(places, tf.sub(last, window)));
    const attention = maskedAttention(q, seen(k), seen(v), visible, scale || 1 / Math.sqrt(headSize));
    if (weights === 'none') return attention.out;
    const unseen: [number, number] = [0, capacity - end];
    if (weights === 'layer') return [attention.out, tf.pad(tf.mean(attention.weights, 0), [[0, 0], unseen])];
    const weighed = heads ? tf.gather(attention.weights, heads, 0) : attention.weights;
    return [attention.out, tf.pad(weighed, [[0, 0], [0, 0], unseen])];
  },
});

/**
 * Causal attention over a key/value cache, where H query heads share G KV heads:
 *
 *     out[t,h] = Σ_j weight[h,t,j] · v[g,j],  weight[h,t,:] = softmax_j(scale · q[t,h] · k[g,j]),
 *     over j ≤ position + t,  g = floor(h / (H / G))
 *
 * With a window the sum is over position + t − window < j ≤ position + t. A row that sees no key gives zeros.
 *
 * ```ts
 * const [q, kv] = [tf.ones<tf.Rank.R3>([1, 2, 4]), tf.ones<tf.Rank.R3>([1, 8, 4])];
 * const [out, weights] = causalAttention(q, kv, kv, tf.tensor1d([1], 'int32'), {weights: 'layer'});
 * weights.print(); // [[0.5, 0.5, 0, 0, 0, 0, 0, 0]]
 * ```
 *
 * Source: Vaswani et al., arXiv 1706.03762; shared KV heads: Ainslie et al., arXiv 2305.13245; sliding window: Jiang et
 * al., Mistral 7B, arXiv 2310.06825.
 *
 * @param q float32 [T,H,D]
 * @param k float32 [G,C,D], H a multiple of G; it must hold the keys of this call's rows already
 * @param v float32 [G,C,D]: the values, likewise
 * @param position int32 [1]: the position of row 0 in the sequence; a negative one counts as 0, one past C as C
 * @returns out float32 [T,H,D]. With `weights: 'layer'` also float32 [T,C], the weights' mean over the heads; with
 *     `'head'` float32 [R,T,C], the weights of `heads`, or of all heads. Weights of keys that a row does not see are 0.
 * @throws Error naming the op and the argument, if a shape, a dtype or an option does not fit
 */
export function causalAttention(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  position: Tensor,
  options?: {scale?: number; weights?: 'none'; window?: number},
): Tensor3D;
export function causalAttention(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  position: Tensor,
  options: {scale?: number; weights: 'layer'; window?: number},
): [Tensor3D, Tensor2D];
export function causalAttention(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  position: Tensor,
  options: {scale?: number; weights: 'head'; heads?: Tensor; window?: number},
): [Tensor3D, Tensor3D];
export function causalAttention(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  position: Tensor,
  {heads, ...attrs}: CausalAttentionOptions = {},
): Tensor | Tensor[] {
  return run(heads ? [q, k, v, position, heads] : [q, k, v, position], attrs);
}

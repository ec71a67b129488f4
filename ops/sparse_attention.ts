/** The op SparseAttention lets each row of a block attend to selected keys of a cache, each row to its own. */
import * as tf from '@tensorflow/tfjs-core';
import type {Tensor, Tensor1D, Tensor2D, Tensor3D} from '@tensorflow/tfjs-core';

import {checkValue, refuse} from '../backend/check.js';
import {ANY, checkAttention, checkPosition, checkSets, checkTensor, FINITE, WINDOW} from './check.js';
import {defineOp, launch} from './define_op.js';
import {clampPosition, maskedAttention} from './masked_attention.js';
import type {Selection} from './nucleus_select.js';

const name = 'SparseAttention';
/** Each row has a bit of an int32 row mask, whose sign bit is not used. */
const MAX_ROWS = 31;

export interface SparseAttentionOptions {
  /** Factor of the scores q · k; 0, the default, means 1/√D. */
  scale?: number;
  /** Index of the first key set that this layer reads; 0 by default. */
  set?: number;
  /** Number of key sets that this layer reads: 1 for all heads together, the default, or G, one for each KV head. */
  sets?: number;
  /**
   * Whether to return the attention weights too; false by default. The keys of each set must then be in ascending
   * order.
   */
  weights?: boolean;
  /**
   * Sliding window: a row sees a selected key only if it is among the last `window` keys up to the row's own. It needs
   * `position`. 0, the default, sets no limit.
   */
  window?: number;
  /** int32 [1], with a window: the position of row 0 in the sequence; a negative one counts as 0, one past C as C. */
  position?: Tensor;
}

const run = defineOp<Required<Omit<SparseAttentionOptions, 'position'>>>({
  name,
  attrs: {scale: 0, set: 0, sets: 1, weights: false, window: 0},

  check([q, k, v, keys, bits, counts, position], {scale, set, sets, window}) {
    checkAttention(name, q, k, v);
    if (q.shape[0] > MAX_ROWS) refuse(name, 'the number of rows', `at most ${MAX_ROWS}`, q.shape[0]);
    checkTensor(name, 'keys', keys, 'int32', [ANY, ANY]);
    checkTensor(name, 'bits', bits, 'int32', keys.shape);
    checkTensor(name, 'counts', counts, 'int32', [keys.shape[0]]);
    checkValue(name, 'scale', scale, FINITE);
    checkSets(name, sets, k.shape[0]);
    checkValue(name, 'window', window, WINDOW);
    if (window > 0) checkPosition(name, position);
    else if (position) refuse(name, 'window', '1 or more where a position is given', window);
    const last = keys.shape[0] - sets;
    if (!(Number.isInteger(set) && set >= 0 && set <= last))
      refuse(name, 'set', `an integer from 0 to ${last}`, set);
  },

  native(backend, inputs, {scale, set, sets, weights, window}) {
    const [rows, , headSize] = inputs[0].shape;
    const attrs = [scale || 1 / Math.sqrt(headSize), set, sets, Number(weights), window];
    const capacity = inputs[1].shape[1];
    if (!weights) return launch(backend, name, inputs, [[inputs[0].shape, 'float32']], attrs)[0];
    return launch(
      backend,
      name,
      inputs,
      [
        [inputs[0].shape, 'float32'],
        [[sets, rows, capacity], 'float32'],
      ],
      attrs,
    );
  },

  // Reading the selection waits for the device, but the shapes of what follows depend on its counts.
  composed(inputs: Tensor[], {scale, set, sets, weights, window}) {
    type Inputs = [Tensor3D, Tensor3D, Tensor3D, Tensor2D, Tensor2D, Tensor1D, Tensor1D?];
    const [q, k, v, keys, bits, counts, position] = inputs as Inputs;
    const [rows, heads, headSize] = q.shape;
    const kvHeads = k.shape[0];
    const [listed, seen, listedCounts] = [keys.dataSync(), bits.dataSync(), counts.dataSync()];
    const start = position ? clampPosition(position.dataSync()[0], k.shape[1]) : 0;
    const inWindow = (key: number, row: number): boolean => window === 0 || key > start + row - window;
    const outs: Tensor3D[] = [];
    const setWeights: Tensor2D[] = [];
    for (let s = 0; s < sets; s++) {
      const from = (set + s) * keys.shape[1];
      const places: number[] = [];
      for (let j = from; j < from + Math.min(listedCounts[set + s], keys.shape[1]); j++)
        if (listed[j] >= 0 && listed[j] < k.shape[1]) places.push(j);
      const index = tf.tensor1d(
        Int32Array.from(places, (j) => listed[j]),
        'int32',
      );
      const visible = new Uint8Array(rows * places.length);
      for (let i = 0; i < visible.length; i++) {
        const [place, row] = [places[i % places.length], Math.floor(i / places.length)];
        visible[i] = (seen[place] >> row) & Number(inWindow(listed[place], row));
      }
      const pick = (x: Tensor3D): Tensor3D =>
        tf.gather(tf.slice(x, [(s * kvHeads) / sets, 0, 0], [kvHeads / sets, -1, -1]), index, 1);
      const attended = maskedAttention(
        tf.slice(q, [0, (s * heads) / sets, 0], [rows, heads / sets, headSize]),
        pick(k),
        pick(v),
        tf.tensor2d(visible, [rows, places.length], 'bool'),
        scale || 1 / Math.sqrt(headSize),
      );
      outs.push(attended.out);
      if (weights) setWeights.push(scatterKeys(tf.mean(attended.weights, 0), index, k.shape[1]));
    }
    const out = outs.length === 1 ? outs[0] : tf.concat(outs, 1);
    return weights ? [out, tf.stack(setWeights)] : out;
  },
});

/** Spreads weights [T,n] of n listed keys to weights [T,capacity] of all keys, 0 for keys that are not listed. */
function scatterKeys(rows: Tensor2D, keys: Tensor1D, capacity: number): Tensor2D {
  const scattered = tf.scatterND(tf.expandDims(keys, 1), tf.transpose(rows), [capacity, rows.shape[0]]);
  return tf.transpose(scattered) as Tensor2D;
}

/**
 * Attention of a block of rows over selected keys only; each row has its own keys:
 *
 *     out[t,h] = Σ_j softmax_j(scale · q[t,h] · k[g,key_j]) · v[g,key_j]
 *
 * over the j < counts[s] for which bit t of bits[s,j] is set, where key_j = keys[s,j] and g = floor(h / (H / G)). The
 * key set s is `set`, or `set` + g with one set for each KV head. With a window row t sees only listed keys after
 * position + t − window. A row that sees no key gives zeros. With every
 * visible key selected the result equals that of {@link causalAttention}, on the native CPU device to the bit.
 *
 * ```ts
 * const [q, k] = [tf.ones<tf.Rank.R3>([1, 1, 2]), tf.ones<tf.Rank.R3>([1, 4, 2])];
 * const v = tf.tensor3d([[[1, 1], [2, 2], [3, 3], [4, 4]]]);
 * const keys = tf.tensor2d([[0, 3, 0, 0]], [1, 4], 'int32');
 * const bits = tf.tensor2d([[1, 1, 0, 0]], [1, 4], 'int32');
 * const counts = tf.tensor1d([2], 'int32');
 * sparseAttention(q, k, v, {keys, bits, counts}).print(); // [[[2.5, 2.5]]]: the mean of the values of keys 0 and 3
 * ```
 *
 * Source: SpecAttn, arXiv 2510.27641.
 *
 * @param q float32 [T,H,D], T ≤ 31; the native kernel takes D ≤ 256
 * @param k float32 [G,C,D], H a multiple of G
 * @param v float32 [G,C,D]
 * @param selection keys and bits int32 [S,C], counts int32 [S], as {@link nucleusSelect} returns them
 * @returns out float32 [T,H,D]. With `weights` also float32 [sets,T,C]: the attention weights of each set, averaged
 *     over the heads that read the set; 0 for keys that a row does not see
 * @throws Error naming the op and the argument, if a shape, a dtype or an option does not fit
 */
export function sparseAttention(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  selection: Selection,
  options?: SparseAttentionOptions & {weights?: false},
): Tensor3D;
export function sparseAttention(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  selection: Selection,
  options: SparseAttentionOptions & {weights: true},
): [Tensor3D, Tensor3D];
export function sparseAttention(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  selection: Selection,
  {position, ...attrs}: SparseAttentionOptions = {},
): Tensor | Tensor[] {
  const inputs = [q, k, v, selection.keys, selection.bits, selection.counts];
  return run(position ? [...inputs, position] : inputs, attrs);
}

/** The op NucleusMask marks the nucleus of each row of attention weights. */
import * as tf from '@tensorflow/tfjs-core';
import type {Tensor, Tensor1D, Tensor2D} from '@tensorflow/tfjs-core';

import {checkValue} from '../backend/check.js';
import {ANY, checkPosition, checkTensor, MASS} from './check.js';
import {defineOp, launch} from './define_op.js';
import {nucleusOf} from './nucleus.js';

const name = 'NucleusMask';

const run = defineOp({
  name,
  attrs: {p: 1},

  check([weights, position], {p}) {
    checkTensor(name, 'weights', weights, 'float32', [ANY, ANY]);
    checkPosition(name, position);
    checkValue(name, 'p', p, MASS);
  },

  native(backend, inputs, {p}) {
    return launch(backend, name, inputs, [[inputs[0].shape, 'bool']], [p])[0];
  },

  // tfjs-core has neither float64 nor a search, so the rows are read to the host and sorted.
  composed([weights, position]: [Tensor2D, Tensor1D], {p}) {
    const [rows, capacity] = weights.shape;
    const values = weights.dataSync();
    const start = position.dataSync()[0];
    const mask = new Uint8Array(rows * capacity);
    for (let r = 0; r < rows; r++) {
      const from = r * capacity;
      const visible = Math.min(capacity, Math.max(0, start + r + 1));
      for (const j of nucleusOf(values.subarray(from, from + capacity), visible, p)) mask[from + j] = 1;
    }
    return tf.tensor(mask, [rows, capacity], 'bool');
  },
});

/**
 * The nucleus of each row of attention weights: among the keys ≤ position + r that row r sees, the smallest set whose
 * weights sum to at least p times their total, with ties to the lower index. The result is exact: the set that sorting
 * the row and summing it in float64 gives. Negative and NaN weights count as 0; a row without a positive weight keeps
 * no key.
 *
 * ```ts
 * const weights = tf.tensor2d([[0.1, 0.6, 0.25, 0.05]]);
 * nucleusMask(weights, tf.tensor1d([3], 'int32'), 0.8).print(); // [[false, true, true, false]]
 * ```
 *
 * Source: the nucleus is from Holtzman et al. (arXiv 1904.09751); SpecAttn (arXiv 2510.27641) applies it to attention,
 * with an approximate search of ten steps where this op is exact.
 *
 * @param weights float32 [R,C]
 * @param position int32 [1]: the position of row 0 in the sequence
 * @param p share of each row's mass to keep, in (0, 1]
 * @returns bool [R,C]: whether the row keeps the key
 * @throws Error naming the op and the argument, if a shape, a dtype or p does not fit
 */
export function nucleusMask(weights: Tensor, position: Tensor, p: number): Tensor2D {
  return run([weights, position], {p}) as Tensor2D;
}

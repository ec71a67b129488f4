/**
 * The op OracleSelect, an upper bound for methods that choose keys: it chooses by the verifier's own attention over all
 * keys.
 */
import * as tf from '@tensorflow/tfjs-core';
import type {Tensor, Tensor1D, Tensor2D, Tensor3D} from '@tensorflow/tfjs-core';

import {checkValue} from '../../backend/check.js';
import {checkAttention, checkPosition, checkSets, COUNT, MASS} from '../../ops/check.js';
import {defineOp} from '../../ops/define_op.js';
import {causalAttention, nucleusMask} from '../../ops/index.js';
import {KeyMask, seeEnds, type ListedKeys} from './list_keys.js';

const name = 'OracleSelect';

export interface OracleSelectOptions {
  /** Share of a row's attention that its keys hold, in (0, 1]. Default 1: every key. */
  p?: number;
  /** How many of the first keys every row sees. Default 0. */
  sinks?: number;
  /** How many keys up to its own every row sees. Default 0. */
  recent?: number;
  /**
   * 1, the default: one set, chosen by the mean over all heads. G: a set for each KV head, chosen by the mean over its
   * query heads.
   */
  sets?: number;
}

const run = defineOp<Required<OracleSelectOptions>>({
  name,
  attrs: {p: 1, sinks: 0, recent: 0, sets: 1},

  check([q, k, position], {p, sinks, recent, sets}) {
    checkAttention(name, q, k, k);
    checkPosition(name, position);
    checkValue(name, 'p', p, MASS);
    checkValue(name, 'sinks', sinks, COUNT);
    checkValue(name, 'recent', recent, COUNT);
    checkSets(name, sets, k.shape[0]);
  },

  composed([q, k, position]: [Tensor3D, Tensor3D, Tensor1D], {p, sinks, recent, sets}) {
    const [rows, heads] = q.shape;
    const capacity = k.shape[1];
    const start = position.dataSync()[0];
    const mask = new KeyMask(sets, rows, capacity);
    if (p < 1) {
      const weights = tf.reshape(causalAttention(q, k, k, position, {weights: 'head'})[1], [
        sets,
        heads / sets,
        rows,
        capacity,
      ]);
      tf.unstack(tf.mean(weights, 1)).forEach((ofSet, set) =>
        mask.seen.set(nucleusMask(ofSet as Tensor2D, position, p).dataSync(), set * rows * capacity),
      );
    }
    for (let set = 0; set < sets; set++)
      for (let t = 0; t < rows; t++)
        seeEnds(mask.row(set, t), start + t + 1, sinks, p < 1 ? recent : start + t + 1);
    const {keys, bits, counts, kept} = mask.list();
    return [keys, bits, counts, kept];
  },
});

/**
 * Chooses the keys that hold a share p of each row's own attention. To find them the attention is computed over all
 * keys, so this is no method but the bound for methods that guess the attention. Row t sees the nucleus of its weights,
 * the sinks, and the recent keys (position + t − recent < key ≤ position + t); p = 1 keeps every visible key.
 *
 * @param q float32 [T,H,D]
 * @param k float32 [G,C,D], H a multiple of G
 * @param position int32 [1]: the position of row 0
 * @returns keys and bits int32 [S,C], counts int32 [S], kept int32 [S,T]; S is `sets`
 * @throws Error where a shape, a dtype or an option does not fit
 */
export function oracleSelect(
  q: Tensor,
  k: Tensor,
  position: Tensor,
  options?: OracleSelectOptions,
): ListedKeys {
  const [keys, bits, counts, kept] = run([q, k, position], options) as Tensor[];
  return {keys, bits, counts, kept} as ListedKeys;
}

import * as tf from '@tensorflow/tfjs-core';
import type {Tensor, Tensor1D, Tensor3D} from '@tensorflow/tfjs-core';

import {checkValue, type Check} from '../../backend/check.js';
import {checkAttention, checkPosition} from '../../ops/check.js';
import {defineOp} from '../../ops/define_op.js';
import {KeyMask, type ListedKeys} from './list_keys.js';
import {keysOf} from './methods.js';

const name = 'QuestSelect';
const PAGE: Check = [(n) => Number.isInteger(n) && (n as number) > 0, 'a whole number of 1 or more'];
const BUDGET: Check = [(n) => (n as number) > 0, 'above 0'];

export interface QuestSelectOptions {
  /** Keys of a page; 16 by default. */
  page?: number;
  /** Keys that a row sees at most, in whole pages; below 1 a share of the keys up to it. 256 by default. */
  budget?: number;
}

const run = defineOp<Required<QuestSelectOptions>>({
  name,
  attrs: {page: 16, budget: 256},

  check([q, k, position], {page, budget}) {
    checkAttention(name, q, k, k);
    checkPosition(name, position);
    checkValue(name, 'page', page, PAGE);
    checkValue(name, 'budget', budget, BUDGET);
  },

  composed([q, k, position]: [Tensor3D, Tensor3D, Tensor1D], {page, budget}) {
    const rows = q.shape[0];
    const [groups, capacity] = k.shape;
    const start = position.dataSync()[0];
    const pages = pageOf(start + rows - 1, page); // those before the last row's own: all of them are full
    const bounds = pages > 0 ? upperBounds(q, k, pages, page).dataSync() : [];
    const mask = new KeyMask(groups, rows, capacity);
    for (let group = 0; group < groups; group++) {
      for (let t = 0; t < rows; t++) {
        const visible = start + t + 1;
        const own = pageOf(start + t, page);
        const wanted = questPages(start + t, page, budget);
        const from = (group * rows + t) * pages;
        const bound = (i: number) => bounds[from + i];
        const best = [...Array(own).keys()].sort((a, b) => bound(b) - bound(a) || a - b).slice(0, wanted);
        const row = mask.row(group, t);
        for (const i of [...best, own]) row.fill(1, i * page, Math.min((i + 1) * page, visible));
      }
    }
    const {keys, bits, counts, kept} = mask.list();
    return [keys, bits, counts, kept];
  },
});

/** The page that a position is on. */
export function pageOf(position: number, page: number): number {
  return Math.floor(position / page);
}

/** How many of the full pages before its own a row sees. */
export function questPages(position: number, page: number, budget: number): number {
  const own = pageOf(position, page);
  const keys = keysOf(budget, position + 1);
  return keys > position ? own : Math.min(own, Math.max(0, Math.floor(keys / page) - 1));
}

/** The most that a key between a page's minimum and maximum could score, [G,T,pages]; the highest of a group's query heads. */
function upperBounds(q: Tensor3D, k: Tensor3D, pages: number, page: number): Tensor3D {
  const [rows, heads, size] = q.shape;
  const groups = k.shape[0];
  const paged = tf.reshape(tf.slice(k, [0, 0, 0], [groups, pages * page, size]), [groups, pages, page, size]);
  const queries = tf.reshape(tf.transpose(q, [1, 0, 2]), [groups, (heads / groups) * rows, size]);
  const positive = tf.relu(queries);
  const bounds = tf.add(
    tf.matMul(positive, tf.max(paged, 2), false, true),
    tf.matMul(tf.sub(queries, positive), tf.min(paged, 2), false, true),
  );
  return tf.max(tf.reshape(bounds, [groups, heads / groups, rows, pages]), 1);
}

/**
 * The keys that Quest lets each row read: whole pages, those that could hold the highest scores.
 *
 * A page's bound for a query is Σ_d max(q_d · min_d, q_d · max_d), min and max being taken over the page's keys. A row sees the page
 * that it is on itself, and of the full pages before it the floor(budget / page) − 1 with the highest bounds, ties to the lower
 * index. Each key/value head chooses for itself, by the highest bound of its query heads.
 *
 * Source: Quest, arXiv 2406.10774, whose kernels read the current page always.
 *
 * @param q float32 [T,H,D]
 * @param k float32 [G,C,D], H a multiple of G
 * @param position int32 [1]: of row 0
 * @returns keys and bits int32 [G,C], counts int32 [G], kept int32 [G,T]: a set for each key/value head
 * @throws Error where a shape, a dtype or an option does not fit
 */
export function questSelect(
  q: Tensor,
  k: Tensor,
  position: Tensor,
  options?: QuestSelectOptions,
): ListedKeys {
  const [keys, bits, counts, kept] = run([q, k, position], options) as Tensor[];
  return {keys, bits, counts, kept} as ListedKeys;
}

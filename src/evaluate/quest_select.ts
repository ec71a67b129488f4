/** The op QuestSelect, the method Quest (arXiv 2406.10774): it chooses pages of keys by bounds of their scores. */
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
  /** Keys of a page. Default 16. */
  page?: number;
  /** How many keys a row sees at most, in whole pages; below 1, a share of the keys up to the row. Default 256. */
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
    const [kvHeads, capacity] = k.shape;
    const start = position.dataSync()[0];
    const pages = pageOf(start + rows - 1, page); // the pages before the last row's own; all of them are full
    const bounds = pages > 0 ? upperBounds(q, k, pages, page).dataSync() : [];
    const mask = new KeyMask(kvHeads, rows, capacity);
    for (let kvHead = 0; kvHead < kvHeads; kvHead++) {
      for (let t = 0; t < rows; t++) {
        const visible = start + t + 1;
        const own = pageOf(start + t, page);
        const wanted = questPages(start + t, page, budget);
        const from = (kvHead * rows + t) * pages;
        const bound = (i: number) => bounds[from + i];
        const best = [...Array(own).keys()].sort((a, b) => bound(b) - bound(a) || a - b).slice(0, wanted);
        const row = mask.row(kvHead, t);
        for (const i of [...best, own]) row.fill(1, i * page, Math.min((i + 1) * page, visible));
      }
    }
    const {keys, bits, counts, kept} = mask.list();
    return [keys, bits, counts, kept];
  },
});

/** The index of the page that holds a position. */
export function pageOf(position: number, page: number): number {
  return Math.floor(position / page);
}

/** How many of the full pages before its own page the row at `position` sees. */
export function questPages(position: number, page: number, budget: number): number {
  const own = pageOf(position, page);
  const keys = keysOf(budget, position + 1);
  return keys > position ? own : Math.min(own, Math.max(0, Math.floor(keys / page) - 1));
}

/**
 * Each page's bound for each row, [G,T,pages]: the highest score that a key of the page could have with any query head
 * of the KV head.
 */
function upperBounds(q: Tensor3D, k: Tensor3D, pages: number, page: number): Tensor3D {
  const [rows, heads, size] = q.shape;
  const kvHeads = k.shape[0];
  const paged = tf.reshape(tf.slice(k, [0, 0, 0], [kvHeads, pages * page, size]), [
    kvHeads,
    pages,
    page,
    size,
  ]);
  const queries = tf.reshape(tf.transpose(q, [1, 0, 2]), [kvHeads, (heads / kvHeads) * rows, size]);
  const positive = tf.relu(queries);
  const bounds = tf.add(
    tf.matMul(positive, tf.max(paged, 2), false, true),
    tf.matMul(tf.sub(queries, positive), tf.min(paged, 2), false, true),
  );
  return tf.max(tf.reshape(bounds, [kvHeads, heads / kvHeads, rows, pages]), 1);
}

/**
 * Chooses keys as Quest does: whole pages, those that could hold the highest scores.
 *
 * A page's bound for a query is Σ_d max(q_d · min_d, q_d · max_d), where min and max are taken over the page's keys. A
 * row sees its own page and, of the full pages before it, the floor(budget / page) − 1 with the highest bounds; ties go
 * to the lower index. Each KV head chooses for itself, by the highest bound of its query heads.
 *
 * Source: Quest, arXiv 2406.10774. Its kernels, too, always read the current page.
 *
 * @param q float32 [T,H,D]
 * @param k float32 [G,C,D], H a multiple of G
 * @param position int32 [1]: the position of row 0
 * @returns keys and bits int32 [G,C], counts int32 [G], kept int32 [G,T]: a set for each KV head
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

/** Sections that time single kernels: memory bandwidth, the choice of keys (nucleus), and attention. */
import * as tf from '@tensorflow/tfjs-core';

import {
  causalAttention,
  nucleusMask,
  nucleusSelect,
  sparseAttention,
  type Selection,
} from '../../ops/index.js';
import {round} from '../statistics.js';
import {BLOCK, GAMMA, HALF, position, type Bench} from './bench.js';
import type {Row, Section} from './report.js';

/** Attention shapes of Llama-2-7B and TinyLlama; `size` is the head size D. */
export const SHAPES = {
  'llama-2-7b': {heads: 32, kvHeads: 32, size: 128},
  'tinyllama-1.1b': {heads: 32, kvHeads: 4, size: 64},
} as const;
type Shape = (typeof SHAPES)[keyof typeof SHAPES];

/** Shares of the keys that sparse attention reads. */
const SHARES = [0.05, 0.1, 0.22, 0.31, 0.5, 1];
/** Share of attention weight that a nucleus holds. */
const P = 0.95;

/**
 * How fast this device reads and copies memory. Stores the fastest rate in the report, which computes the floors of all
 * other sections from it, so this section runs first.
 */
export function bandwidth(bench: Bench): Section {
  const {report, timer, sizes} = bench;
  const bytes = sizes.bandwidthBytes;
  const x = bench.random([bytes / 4096, 1024]);
  const y = tf.zeros([bytes / 4096, 1024]);
  const ways: [string, number, () => unknown][] = [
    ['maximum of rows', bytes, () => tf.max(x, 1)],
    ['maximum of all', bytes, () => tf.max(x)],
    ['sum of all', bytes, () => tf.sum(x)],
    ['copy', 2 * bytes, () => bench.backend.launch('Copy', [x], [y])],
  ];
  const rows = ways.map(([what, moved, call]) => {
    const us = timer.time([call]);
    return {
      row: report.row(`bandwidth/${what}`, us, undefined, {'TB/s': round(moved / us / 1e6)}),
      rate: moved / us,
    };
  });
  report.bandwidth = Math.max(...rows.map(({rate}) => rate));
  tf.dispose([x, y]);
  return {
    name: 'bandwidth',
    note: `Each row reads a buffer of ${round(bytes / 2 ** 30)} GiB; 'copy' also writes as much. The floors of all sections are computed with the fastest rate, ${round(report.bandwidth / 1e6)} TB/s.`,
    rows: rows.map(({row}) => row),
  };
}

/** NucleusMask on rows of attention weights (Figure 3 of the paper), and NucleusSelect for a whole round. */
export function mask(bench: Bench): Section {
  const {report, timer, sizes} = bench;
  const rows: Row[] = [];
  for (const count of [1, 32]) {
    for (const keys of sizes.maskKeys) {
      const bytes = count * keys * (4 + 1);
      const inputs = bench.copies(bytes, () => bench.softmaxRows(count, keys));
      const at = position(keys - 1);
      const us = timer.time(inputs.map((weights) => () => nucleusMask(weights, at, P)));
      rows.push(report.row(`mask/${count}x${keys}`, us, bytes));
      tf.dispose([...inputs, at]);
    }
  }
  // Key sets of a round with a `kl` map: the 30 sparse layers of Llama-2-7B map to 21 layers of TinyLlama.
  const sets = 21;
  for (const keys of sizes.maskKeys.slice(1)) {
    const bytes = sets * keys * (4 * GAMMA + 4 + 4);
    const inputs = bench.copies(bytes, () =>
      Array.from({length: GAMMA}, () => bench.softmaxRows(sets, keys)),
    );
    const mix = tf.eye(sets);
    const p = tf.fill<tf.Rank.R1>([sets], P);
    const at = position(keys - BLOCK);
    const us = timer.time(
      inputs.map((steps) => () => nucleusSelect(steps, mix, p, at, {sinks: 4, recent: 16})),
    );
    rows.push(report.row(`select/${sets}x${GAMMA}x${keys}`, us, bytes));
    tf.dispose([...inputs.flat(), mix, p, at]);
  }
  return {
    name: 'mask',
    note: `'mask' is NucleusMask on softmax weights (rows x keys), 'select' is NucleusSelect for one round (sets x steps x keys), both with p = ${P}. The floor is the time to read the weights once and to write the mask or the lists of keys.`,
    rows,
  };
}

/**
 * One key set: a random `share` of the keys before the block, which every row sees, and the keys of the block's own
 * rows, each seen by its row and the rows after it.
 */
function selectionOf(share: number, keys: number, random: () => number): Selection & {count: number} {
  const past = keys - BLOCK;
  const list = new Int32Array(keys);
  const bits = new Int32Array(keys);
  let count = 0;
  const wanted = Math.round(share * past);
  // Selection sampling: taking each key with probability (still wanted) / (still left) takes exactly `wanted` keys.
  for (let key = 0; key < past; key++) {
    if (random() * (past - key) >= wanted - count) continue;
    list[count] = key;
    bits[count++] = 2 ** BLOCK - 1;
  }
  for (let row = 0; row < BLOCK; row++) {
    list[count] = past + row;
    bits[count++] = 2 ** BLOCK - 2 ** row;
  }
  return {
    keys: tf.tensor2d(list, [1, keys], 'int32'),
    bits: tf.tensor2d(bits, [1, keys], 'int32'),
    counts: tf.tensor1d([count], 'int32'),
    count,
  };
}

/** A generator of pseudo-random numbers in [0, 1) with a fixed seed, so that every run chooses the same keys. */
function uniformNumbers(): () => number {
  let state = 1;
  return () => (state = (state * 48271) % 2147483647) / 2147483647;
}

/** Attention of one row and of a block, over all keys and over selected keys (Figure 4 of the paper). */
export function attention(bench: Bench): Section {
  const rows: Row[] = [];
  for (const [name, shape] of Object.entries(SHAPES))
    for (const keys of bench.sizes.attentionKeys) {
      rows.push(...attentionOver(bench, name, shape, keys));
      bench.trim();
    }
  return {
    name: 'attention',
    note: `Attention of one layer with caches in bfloat16 (rows x keys). 'sparse' reads the given share of the keys, chosen at random over the whole cache; every row sees all of them. 'dense with rows' also returns the attention weights (mean over heads), as a step of the draft does. The floor is the time to read the keys and values that are seen, once.`,
    rows,
  };
}

function attentionOver(bench: Bench, name: string, {heads, kvHeads, size}: Shape, keys: number): Row[] {
  const {report, timer} = bench;
  const bytes = 2 * kvHeads * keys * size * HALF;
  const caches = bench.copies(bytes, () => [
    bench.random<tf.Tensor3D>([kvHeads, keys, size], 'bfloat16'),
    bench.random<tf.Tensor3D>([kvHeads, keys, size], 'bfloat16'),
  ]);
  const rows: Row[] = [];
  const dense = (count: number, weights: 'none' | 'layer') => {
    const q = bench.random<tf.Tensor3D>([count, heads, size]);
    const at = position(keys - count);
    // The type of causalAttention's result depends on `weights`. The result is not used here, so one type serves both.
    const options = {weights} as {weights: 'none'};
    const us = timer.time(
      caches.map(
        ([k, v]) =>
          () =>
            causalAttention(q, k, v, at, options),
      ),
    );
    const kind = weights === 'none' ? 'dense' : 'dense with rows';
    rows.push(report.row(`attention/${name}/${kind}/${count}x${keys}`, us, bytes));
    tf.dispose([q, at]);
    return us;
  };
  dense(1, 'none');
  dense(1, 'layer');
  const denseUs = dense(BLOCK, 'none');
  const q = bench.random<tf.Tensor3D>([BLOCK, heads, size]);
  const random = uniformNumbers();
  for (const share of SHARES) {
    const {count, ...selection} = selectionOf(share, keys, random);
    const us = timer.time(
      caches.map(
        ([k, v]) =>
          () =>
            sparseAttention(q, k, v, selection),
      ),
    );
    const id = `attention/${name}/sparse ${Math.round(share * 100)}%/${BLOCK}x${keys}`;
    rows.push(report.row(id, us, (bytes / keys) * count, {'faster than dense ×': round(denseUs / us)}));
    tf.dispose([selection.keys, selection.bits, selection.counts]);
  }
  tf.dispose([...caches.flat(), q]);
  return rows;
}

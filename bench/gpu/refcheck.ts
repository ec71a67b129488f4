/** The reference check of `bench:gpu`: results that must be right before anything is timed. */
import {readFileSync} from 'node:fs';
import * as path from 'node:path';
import * as tf from '@tensorflow/tfjs-core';

import {causalAttention, linear, nucleusMask, nucleusSelect, sparseAttention} from '../../ops/index.js';
import {nucleusOf} from '../../ops/nucleus.js';
import {packageRoot} from '../../backend/addon.js';
import {load} from '../../src/index.js';
import {refcheckDecode} from '../decode.js';
import {BLOCK, GAMMA, position, type Bench} from './bench.js';
import {SHAPES} from './kernels.js';

/** @throws Error unless both have the same length and no two elements differ by more than `tolerance` */
function close(what: string, got: ArrayLike<number>, expected: ArrayLike<number>, tolerance: number): void {
  if (got.length !== expected.length)
    throw new Error(`[bench] ${what} has ${got.length} elements but must have ${expected.length}`);
  for (let i = 0; i < expected.length; i++)
    if (!(Math.abs(got[i] - expected[i]) <= tolerance))
      throw new Error(
        `[bench] ${what}: element ${i} is ${got[i]} but must be ${expected[i]} within ${tolerance}`,
      );
}

/**
 * Compares matrix products, attention and the nucleus with float64 on the host, and sparse attention over every key
 * with dense attention. The embedded pair must write the same tokens by plain decoding, dense verification and sparse
 * verification with p = 1.
 * @throws Error naming the result that differs
 */
export async function refcheck(bench: Bench): Promise<void> {
  for (const rows of [1, BLOCK]) checkLinear(bench, rows);
  for (const [name, shape] of Object.entries(SHAPES)) checkAttention(bench, name, shape);
  for (const rows of [1, 32]) checkMask(bench, rows);

  const lm = await load({backend: tf.getBackend()});
  try {
    const passage = readFileSync(path.join(packageRoot, 'test', 'data', 'passage_2.txt'), 'utf8');
    await refcheckDecode(lm, {passage: passage.slice(0, bench.sizes.refcheckText)});
  } finally {
    lm.dispose();
  }
  bench.trim();
}

function checkLinear(bench: Bench, rows: number): void {
  const [n, k] = [256, 4096];
  const x = bench.random([rows, k]);
  const weight = bench.random([n, k], 'bfloat16', Math.sqrt(3 / k));
  const [a, b] = [x.dataSync(), weight.dataSync()];
  const expected = new Float64Array(rows * n);
  for (let r = 0; r < rows; r++)
    for (let c = 0; c < n; c++)
      for (let i = 0; i < k; i++) expected[r * n + c] += a[r * k + i] * b[c * k + i];
  const got = linear(x, weight);
  // The tolerance allows a kernel to round its activations to bfloat16.
  close(`linear [${rows},${n},${k}]`, got.dataSync(), expected, 0.02);
  tf.dispose([x, weight, got]);
}

function checkAttention(
  bench: Bench,
  name: string,
  {heads, kvHeads, size}: (typeof SHAPES)[keyof typeof SHAPES],
): void {
  const keys = 700;
  const q = bench.random<tf.Tensor3D>([BLOCK, heads, size]);
  const [k, v] = [0, 1].map(() => bench.random<tf.Tensor3D>([kvHeads, keys, size], 'bfloat16'));
  const at = position(keys - BLOCK);
  const dense = causalAttention(q, k, v, at);
  const [qs, ks, vs] = [q.dataSync(), k.dataSync(), v.dataSync()];
  const expected = new Float64Array(BLOCK * heads * size);
  const weights = new Float64Array(keys);
  for (let t = 0; t < BLOCK; t++)
    for (let h = 0; h < heads; h++) {
      const row = (t * heads + h) * size;
      const cache = Math.floor((h * kvHeads) / heads) * keys * size;
      const seen = keys - BLOCK + t + 1;
      let sum = 0;
      for (let j = 0; j < seen; j++) {
        let score = 0;
        for (let d = 0; d < size; d++) score += qs[row + d] * ks[cache + j * size + d];
        weights[j] = Math.exp(score / Math.sqrt(size));
        sum += weights[j];
      }
      for (let j = 0; j < seen; j++)
        for (let d = 0; d < size; d++) expected[row + d] += (weights[j] / sum) * vs[cache + j * size + d];
    }
  close(`CausalAttention ${name}`, dense.dataSync(), expected, 1e-3);

  const steps = Array.from({length: GAMMA}, () => tf.zeros<tf.Rank.R2>([1, keys]));
  const every = nucleusSelect(steps, tf.ones([1, 1]), tf.ones([1]), at);
  const sparse = sparseAttention(q, k, v, every);
  close(`SparseAttention ${name} over every key`, sparse.dataSync(), dense.dataSync(), 1e-5);
  tf.dispose([q, k, v, at, dense, sparse, ...steps, every.keys, every.bits, every.counts, every.kept]);
}

function checkMask(bench: Bench, rows: number): void {
  const keys = 8191;
  const weights = bench.softmaxRows(rows, keys);
  const at = position(keys - rows);
  const got = nucleusMask(weights, at, 0.95);
  const values = weights.dataSync() as Float32Array;
  const expected = new Uint8Array(rows * keys);
  for (let r = 0; r < rows; r++) {
    const row = values.subarray(r * keys, (r + 1) * keys);
    for (const j of nucleusOf(row, keys - rows + r + 1, 0.95)) expected[r * keys + j] = 1;
  }
  close(`NucleusMask [${rows},${keys}]`, got.dataSync(), expected, 0);
  tf.dispose([weights, at, got]);
}

/**
 * Checks and times the kernels that most of a decoding step's time goes to. Each row gives operations and bytes per second, to be
 * compared with what the processor and its memory can do.
 */
import * as tf from '@tensorflow/tfjs-core';

import {
  causalAttention,
  linear,
  nucleusMask,
  nucleusSelect,
  rmsNorm,
  sparseAttention,
  swiGLU,
} from '../ops/index.js';
import {nucleusOf} from '../ops/nucleus.js';
import {nativeBackend} from '../backend/current.js';
import {round, time} from './statistics.js';

export interface KernelRow {
  kernel: string;
  shape: string;
  /** Median microseconds of one call. */
  us: number;
  /** Operations per second, in 10^9. */
  gflops?: number;
  /** Bytes of weights, or of keys and values, per second in 10^9; each is counted as read once. */
  gigabytesPerSecond?: number;
}

/** A random tensor stored as bfloat16, like the weights and caches of a model. */
function half(shape: number[]): tf.Tensor {
  const native = nativeBackend()!;
  const values = tf.tidy(() => tf.randomNormal(shape).dataSync());
  const info = native.upload([values as Float32Array], 'float32', shape, 'bfloat16');
  return tf.engine().makeTensorFromTensorInfo(info) as tf.Tensor;
}

/** @throws Error unless every element of `got` is within `tolerance` of `expected` */
function close(what: string, got: ArrayLike<number>, expected: ArrayLike<number>, tolerance: number): void {
  for (let i = 0; i < expected.length; i++)
    if (!(Math.abs(got[i] - expected[i]) <= tolerance))
      throw new Error(
        `[bench] ${what}: element ${i} is ${got[i]} but must be ${expected[i]} within ${tolerance}`,
      );
}

/** The product of [rows,k] activations and [n,k] bfloat16 weights, checked against float64. */
function matMul(rows: number, n: number, k: number): KernelRow {
  const a = tf.randomNormal([rows, k]);
  const b = half([n, k]);
  const [x, w] = [a.dataSync(), b.dataSync()];
  const expected = new Float64Array(rows * n);
  for (let r = 0; r < rows; r++)
    for (let c = 0; c < n; c++)
      for (let i = 0; i < k; i++) expected[r * n + c] += x[r * k + i] * w[c * k + i];
  const product = tf.matMul(a as tf.Tensor2D, b as tf.Tensor2D, false, true);
  close(`matMul [${rows},${n},${k}]`, product.dataSync(), expected, 1e-5 * k);
  const ms = time(() => tf.dispose(tf.matMul(a as tf.Tensor2D, b as tf.Tensor2D, false, true)), 20);
  tf.dispose([a, b, product]);
  return {
    kernel: 'BatchMatMul',
    shape: `${rows} x [${n},${k}] bfloat16`,
    us: round(ms * 1e3),
    gflops: round((2 * rows * n * k) / ms / 1e6),
    gigabytesPerSecond: round((2 * n * k) / ms / 1e6),
  };
}

/** Linear: RMSNorm, the product and SwiGLU in one launch, checked against the three ops one by one. */
function gatedLinear(rows: number, n: number, k: number): KernelRow {
  const [x, norm] = [tf.randomNormal([rows, k]), tf.ones([k])];
  const weight = half([n, k]);
  const run = () => linear(x, weight, {norm, gated: true});
  const apart = tf.tidy(() => swiGLU(tf.matMul(rmsNorm(x, norm), weight as tf.Tensor2D, false, true)));
  const together = run();
  close(`linear [${rows},${n},${k}]`, together.dataSync(), apart.dataSync(), 1e-5 * k);
  const ms = time(() => tf.dispose(run()), 20);
  tf.dispose([x, norm, weight, apart, together]);
  return {
    kernel: 'Linear',
    shape: `${rows} x [${n},${k}] bfloat16, norm, gate`,
    us: round(ms * 1e3),
    gflops: round((2 * rows * n * k) / ms / 1e6),
    gigabytesPerSecond: round((2 * n * k) / ms / 1e6),
  };
}

/** Dense attention of a block, and sparse attention over shares of the keys, at the embedded verifier's shape. */
function attention(rows: number, context: number): KernelRow[] {
  const [heads, kvHeads, size] = [5, 5, 64];
  const q = tf.randomNormal([rows, heads, size]) as tf.Tensor3D;
  const [k, v] = [half([kvHeads, context, size]), half([kvHeads, context, size])] as tf.Tensor3D[];
  const position = tf.tensor1d([context - rows], 'int32');
  const flops = 4 * rows * heads * context * size;
  const bytes = 2 * 2 * kvHeads * context * size;
  const dense = causalAttention(q, k, v, position);
  const denseMs = time(() => tf.dispose(causalAttention(q, k, v, position)), 10);
  const result: KernelRow[] = [
    {
      kernel: 'CausalAttention',
      shape: `${rows} rows, ${context} keys`,
      us: round(denseMs * 1e3),
      gflops: round(flops / denseMs / 1e6),
      gigabytesPerSecond: round(bytes / denseMs / 1e6),
    },
  ];
  for (const share of [1, 0.31, 0.22]) {
    const count = Math.round(context * share);
    const list = Int32Array.from({length: context}, (_, i) =>
      i < count ? Math.floor((i * context) / count) : 0,
    );
    const all = Int32Array.from({length: context}, (_, i) => {
      let bits = 0;
      for (let row = 0; row < rows; row++) if (list[i] <= context - rows + row) bits |= 1 << row;
      return bits;
    });
    const selection = [
      tf.tensor2d(list, [1, context], 'int32'),
      tf.tensor2d(all, [1, context], 'int32'),
      tf.tensor1d([count], 'int32'),
    ] as const;
    const run = () =>
      sparseAttention(q, k, v, {keys: selection[0], bits: selection[1], counts: selection[2]});
    const sparse = run();
    if (share === 1) close('SparseAttention with every key', sparse.dataSync(), dense.dataSync(), 0);
    const ms = time(() => tf.dispose(run()), 10);
    result.push({
      kernel: 'SparseAttention',
      shape: `${rows} rows, ${Math.round(share * 100)}% of ${context} keys`,
      us: round(ms * 1e3),
      gflops: round((flops * share) / ms / 1e6),
      gigabytesPerSecond: round((bytes * share) / ms / 1e6),
    });
    tf.dispose([sparse, ...selection]);
  }
  tf.dispose([q, k, v, position, dense]);
  return result;
}

/** NucleusMask on rows of attention weights, and a plain sort of the same weights to compare with. */
function mask(rows: number, keys: number): KernelRow[] {
  const weights = tf.tidy(() => tf.softmax(tf.mul(tf.randomNormal([rows, keys]), 3)) as tf.Tensor2D);
  const at = tf.tensor1d([keys - 1], 'int32');
  const values = Array.from({length: rows}, (_, r) => weights.dataSync().slice(r * keys, (r + 1) * keys));
  const found = nucleusMask(weights, at, 0.95);
  const kept = found.dataSync() as Uint8Array;
  values.forEach((row, r) => {
    const size = nucleusOf(row, keys, 0.95).length;
    const counted = kept.slice(r * keys, (r + 1) * keys).reduce((sum, x) => sum + x, 0);
    if (counted !== size)
      throw new Error(
        `[bench] NucleusMask kept ${counted} of ${keys} keys of row ${r} but must keep ${size}`,
      );
  });
  const shape = `${rows} x ${keys} weights`;
  const us = 1e3 * time(() => tf.dispose(nucleusMask(weights, at, 0.95)), 20);
  const sortUs = 1e3 * time(() => values.forEach((row) => row.slice().sort()), 5);
  tf.dispose([weights, at, found]);
  return [
    {kernel: 'NucleusMask', shape, us: round(us)},
    {kernel: 'Float32Array.sort', shape, us: round(sortUs)},
  ];
}

/**
 * NucleusSelect for a round of four drafted tokens: with sets that each take one draft layer, and with sets that mix
 * draft heads and the attention history.
 */
function select(context: number): KernelRow[] {
  const position = tf.tensor1d([context - 5], 'int32');
  const rowsOf = (rows: number) =>
    tf.tidy(() => tf.softmax(tf.mul(tf.randomNormal([rows, context]), 3)) as tf.Tensor2D);
  const measure = (shape: string, sources: number, mix: tf.Tensor2D, history?: tf.Tensor2D): KernelRow => {
    const steps = Array.from({length: 4}, () => rowsOf(sources));
    const p = tf.fill<tf.Rank.R1>([mix.shape[0]], 0.95);
    const run = () => nucleusSelect(steps, mix, p, position, {sinks: 4, recent: 16, fixed: history});
    const first = run();
    const counts = first.counts.dataSync();
    if (!counts.every((count) => count > 0 && count < context))
      throw new Error(`[bench] NucleusSelect kept ${Array.from(counts).join(', ')} of ${context} keys`);
    const ms = time(() => tf.dispose({...run()}), 10);
    tf.dispose([...steps, mix, p, first.keys, first.bits, first.counts, first.kept]);
    return {kernel: 'NucleusSelect', shape, us: round(ms * 1e3)};
  };
  const history = rowsOf(6);
  const mixed = tf.tidy(() =>
    tf.concat2d([tf.fill([6, 20], 0.03), tf.mul(tf.eye(6), 0.4) as tf.Tensor2D], 1),
  );
  const rows = [
    measure(
      `3 sets x 4 steps x ${context} keys`,
      4,
      tf.tidy(() => tf.slice(tf.eye(4), [0, 0], [3, 4])),
    ),
    measure(`6 sets of 20 heads and their own x 4 steps x ${context} keys`, 20, mixed, history),
  ];
  tf.dispose([position, history]);
  return rows;
}

/** Needs the native backend to be the current one. */
export function benchKernels(): KernelRow[] {
  return [
    ...[1, 2, 5, 64].flatMap((rows) => [
      matMul(rows, 1792, 320),
      matMul(rows, 320, 896),
      matMul(rows, 4096, 320),
    ]),
    ...[1, 5, 64].map((rows) => gatedLinear(rows, 1792, 320)),
    matMul(1, 4096, 4096),
    matMul(5, 4096, 4096),
    ...attention(1, 2048),
    ...attention(5, 2048),
    ...attention(5, 4096),
    ...[1, 32].flatMap((rows) => [512, 2048, 8192].flatMap((keys) => mask(rows, keys))),
    ...select(2048),
    ...select(4096),
  ];
}

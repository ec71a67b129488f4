/**
 * Compares every op with the reference at awkward sizes and with NaN and infinities in its inputs, which the outputs must have where the
 * reference has them. Inputs are also slices and transposes. TensorFlow.js has no strided tensors, so these are dense copies; a kernel
 * that read the data of the original tensor would give wrong results.
 */
import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';

import {
  causalAttention,
  kvCacheAppend,
  linear,
  nucleusMask,
  nucleusSelect,
  rmsNorm,
  rotaryAppend,
  rotaryEmbedding,
  sampleToken,
  sparseAttention,
  speculativeAccept,
  swiGLU,
} from '../../ops/index.js';
import {forEachBackend} from '../backends.js';
import {expectClose, expectSame} from '../compare.js';
import {Random} from '../random.js';
import * as reference from '../reference.js';

const SIZES = [1, 31, 33, 111, 989];
const SPECIAL = [NaN, Infinity, -Infinity];
const TOLERANCE = {relative: 1e-4, absolute: 2e-5};
const at = (position: number): tf.Tensor1D => tf.tensor1d([position], 'int32');

/** Makes a tensor of `shape` that holds `values`. */
type Make = (values: Float32Array, shape: number[]) => tf.Tensor;
const MAKERS: Record<string, Make> = {
  'as given': (values, shape) => tf.tensor(values, shape),
  'sliced from a larger tensor': (values, shape) => {
    const beside = tf.fill([...shape.slice(0, -1), 3], NaN);
    const wide = tf.concat([beside, tf.tensor(values, shape), beside], -1);
    return tf.slice(wide, [...shape.slice(1).map(() => 0), 3], shape);
  },
  'transposed twice': (values, shape) => tf.transpose(tf.transpose(tf.tensor(values, shape))),
};

/** Replaces about one value in `every` by NaN or ±infinity, but never the first of a row of `width` values. */
function spoil(random: Random, values: Float32Array, width: number, every = 50): Float32Array {
  return values.map((value, i) =>
    i % width > 0 && random.integer(every) === 0 ? SPECIAL[random.integer(3)] : value,
  );
}

/** Runs an op of size n on inputs with NaN and infinities, and compares the result with the reference. */
type Body = (n: number, random: Random, make: Make) => void;

const attentionOf = (n: number, random: Random, make: Make) => {
  const [rows, heads, kvHeads, size] = [Math.min(n, 3), 4, 2, 6];
  const position = n - rows - (n > 30 ? 5 : 0);
  const q = random.normals(rows * heads * size);
  const [k, v] = [random.normals(kvHeads * n * size), random.normals(kvHeads * n * size)];
  // Every row sees these keys, which belong to the second KV head alone. The loop after them spoils the keys that no row sees.
  if (position > 3) {
    k[(n + 1) * size + 2] = -Infinity;
    v[(n + 2) * size + 3] = NaN;
    v[(n + 3) * size + 1] = Infinity;
  }
  for (const cache of [k, v])
    for (let g = 0; g < kvHeads; g++) cache.fill(NaN, (g * n + position + rows) * size, (g + 1) * n * size);
  const tensors = [
    make(q, [rows, heads, size]),
    make(k, [kvHeads, n, size]),
    make(v, [kvHeads, n, size]),
  ] as const;
  const visible = reference.causal(position, n);
  const expected = reference.attention(q, [rows, heads, size], k, v, [kvHeads, n], 0.4, visible);
  return {rows, heads, position, tensors, expected};
};

const BODIES: Record<string, Body> = {
  RMSNorm: (n, random, make) => {
    const [x, weight] = [spoil(random, random.normals(5 * n), n, 3 * n), random.normals(n)];
    expectClose(
      rmsNorm(make(x, [5, n]), make(weight, [n]), 1e-5).dataSync(),
      reference.rmsNorm(x, weight, 1e-5),
      TOLERANCE,
    );
  },
  RotaryEmbedding: (n, random, make) => {
    const [x, frequencies] = [spoil(random, random.normals(3 * 2 * 2 * n), 2 * n), random.normals(n)];
    expectClose(
      rotaryEmbedding(make(x, [3, 2, 2 * n]), at(7), make(frequencies, [n])).dataSync(),
      reference.rotaryEmbedding(x, [3, 2, 2 * n], 7, frequencies, 1),
      TOLERANCE,
    );
  },
  KVCacheAppend: (n, random, make) => {
    const cache = spoil(random, random.normals(2 * n * 4), 4);
    const rows = spoil(random, random.normals(3 * 2 * 4), 4, 5);
    const position = Math.max(0, n - 2); // the last row is past the capacity and dropped
    expectSame(
      kvCacheAppend(make(cache, [2, n, 4]), make(rows, [3, 2, 4]), at(position)).dataSync(),
      reference.kvCacheAppend(cache, [2, n, 4], rows, position),
    );
  },
  RotaryAppend: (n, random, make) => {
    const [rows, heads, kvHeads, size] = [n, 3, 1, 8];
    const width = (heads + 2 * kvHeads) * size;
    const qkv = spoil(random, random.normals(rows * width), width);
    const frequencies = random.normals(size / 2);
    const [k, v] = [random.normals(n * size), random.normals(n * size)];
    const part = (from: number, to: number) =>
      Float32Array.from(
        {length: rows * (to - from)},
        (_, i) => qkv[Math.floor(i / (to - from)) * width + from + (i % (to - from))],
      );
    const outputs = rotaryAppend(
      make(qkv, [rows, width]),
      at(1),
      make(frequencies, [size / 2]),
      make(k, [kvHeads, n, size]),
      make(v, [kvHeads, n, size]),
    );
    const [q, keys] = [part(0, heads * size), part(heads * size, (heads + kvHeads) * size)];
    const values = part((heads + kvHeads) * size, width);
    const rotated = (x: Float32Array, h: number) =>
      reference.rotaryEmbedding(x, [rows, h, size], 1, frequencies, 1);
    const expected = [
      rotated(q, heads),
      reference.kvCacheAppend(k, [kvHeads, n, size], rotated(keys, kvHeads), 1),
      reference.kvCacheAppend(v, [kvHeads, n, size], values, 1),
    ];
    outputs.forEach((output, i) => expectClose(output.dataSync(), expected[i], TOLERANCE));
  },
  CausalAttention: (n, random, make) => {
    const {heads, position, tensors, expected} = attentionOf(n, random, make);
    const [out, weights] = causalAttention(...tensors, at(position), {scale: 0.4, weights: 'layer'});
    expectClose(out.dataSync(), expected.out, TOLERANCE);
    expectClose(weights.dataSync(), reference.meanOverHeads(expected.weights, heads), TOLERANCE);
  },
  SparseAttention: (n, random, make) => {
    const {rows, heads, position, tensors, expected} = attentionOf(n, random, make);
    // Rows see all keys up to their position. NucleusSelect needs a step, which a single row (n = 1) lacks, so its key is listed here.
    const every =
      rows > 1
        ? nucleusSelect(
            Array.from({length: rows - 1}, () => tf.zeros([1, n])),
            tf.ones([1, 1]),
            tf.ones([1]),
            at(position),
          )
        : {keys: tf.zeros([1, n], 'int32'), bits: tf.ones([1, n], 'int32'), counts: tf.ones([1], 'int32')};
    const [out, weights] = sparseAttention(...tensors, every as never, {scale: 0.4, weights: true});
    expectClose(out.dataSync(), expected.out, TOLERANCE);
    expectClose(weights.dataSync(), reference.meanOverHeads(expected.weights, heads), TOLERANCE);
  },
  NucleusMask: (n, random, make) => {
    const weights = spoil(random, random.distribution(3 * n), n);
    const mask = nucleusMask(make(weights, [3, n]), at(n - 1), 0.8).dataSync();
    for (let r = 0; r < 3; r++) {
      const kept = reference.nucleus(weights.subarray(r * n, (r + 1) * n), n, 0.8);
      expectSame(
        mask.slice(r * n, (r + 1) * n),
        Uint8Array.from({length: n}, (_, j) => Number(kept.has(j))),
      );
    }
  },
  NucleusSelect: (n, random, make) => {
    // Weights of 12 bits, so that their float32 sums are exact.
    const steps = [1, 2].map(() => {
      const weights = Float32Array.from({length: n}, () => Math.floor(4096 * random.next() ** 8) / 4096);
      return spoil(random, weights, n);
    });
    const [position, options] = [Math.max(0, n - 3), {sinks: 1, recent: 2, union: 'causal' as const}];
    const {keys, bits, counts} = nucleusSelect(
      steps.map((step) => make(step, [1, n])),
      tf.ones([1, 1]),
      tf.tensor1d([0.7]),
      at(position),
      options,
    );
    const seen = reference.select(steps, Math.fround(0.7), position, options);
    const union = [...new Set(seen.flatMap((row) => [...row]))].sort((a, b) => a - b);
    expect([...keys.dataSync()].slice(0, counts.dataSync()[0])).to.deep.equal(union);
    const expected = union.map((key) => seen.reduce((mask, row, t) => mask | (Number(row.has(key)) << t), 0));
    expect([...bits.dataSync()].slice(0, union.length)).to.deep.equal(expected);
  },
  SwiGLU: (n, random, make) => {
    const x = spoil(random, random.normals(3 * 2 * n), 2 * n, 20);
    expectClose(swiGLU(make(x, [3, 2 * n])).dataSync(), reference.swiGLU(x, n), TOLERANCE);
  },
  Linear: (n, random, make) => {
    const [rows, columns] = [3, 33];
    const x = spoil(random, random.normals(rows * n), n, 2 * n);
    const weight = spoil(random, random.normals(columns * n, 1 / Math.sqrt(n)), n, 5 * n);
    const expected = Float64Array.from({length: rows * columns}, (_, i) => {
      let sum = 0;
      for (let e = 0; e < n; e++) sum += x[Math.floor(i / columns) * n + e] * weight[(i % columns) * n + e];
      return sum;
    });
    expectClose(linear(make(x, [rows, n]), make(weight, [columns, n])).dataSync(), expected, TOLERANCE);
  },
  SampleToken: (n, random, make) => {
    const logits = spoil(random, random.normals(3 * n), n, 10).map((x) => (x === Infinity ? -Infinity : x));
    const {token, probabilities} = sampleToken(make(logits, [3, n]), tf.tensor1d([1, 2], 'int32'), at(5));
    // A token whose logit is NaN or −∞ is never drawn.
    const finite = logits.map((x) => (Number.isNaN(x) ? -Infinity : x));
    for (let t = 0; t < 3; t++) {
      const filters = {temperature: 1, topK: 0, topP: 1, minP: 0};
      const expected = reference.distribution(finite.subarray(t * n, (t + 1) * n), filters);
      expectClose(probabilities.dataSync().slice(t * n, (t + 1) * n), expected, TOLERANCE);
      expect(expected[token.dataSync()[t]]).to.be.greaterThan(0);
    }
  },
  SpeculativeAccept: (n, random, make) => {
    // A token whose probability is NaN is rejected. The row that holds it is no distribution to draw from, which -2 reports.
    const [drafted, row] = [random.integer(n), random.distribution(n, 1)];
    const draft = row.slice();
    const verifier = Float32Array.from([...row, ...row]);
    verifier[drafted] = NaN;
    const {tokens} = speculativeAccept(
      tf.tensor1d([0, drafted], 'int32'),
      make(draft, [1, n]),
      make(verifier, [2, n]),
      tf.tensor1d([1, 2], 'int32'),
      at(5),
    );
    const [first, second] = tokens.dataSync();
    expect(second, 'after the rejected one').to.equal(-1);
    expect(first).to.equal(-2);
  },
};

forEachBackend('At awkward sizes', () => {
  for (const [op, body] of Object.entries(BODIES))
    for (const [how, make] of Object.entries(MAKERS))
      it(`${op} has NaN and infinities where the reference has them: inputs ${how}`, () => {
        for (const n of SIZES) body(n, new Random(`${op} ${n}`), make);
      });
});

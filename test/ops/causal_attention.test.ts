import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';

import {causalAttention} from '../../ops/index.js';
import {forEachBackend, isNative, onBackend} from '../backends.js';
import {expectClose, expectSame} from '../compare.js';
import {Random} from '../random.js';
import * as reference from '../reference.js';
import {narrow} from '../storage.js';

const at = (position: number): tf.Tensor1D => tf.tensor1d([position], 'int32');

interface Shapes {
  rows: number;
  heads: number;
  kvHeads: number;
  size: number;
  capacity: number;
}

/** Inputs as arrays and as tensors. Scores have a standard deviation of about 2, so that weights are neither flat nor one-hot. */
function inputsOf({rows, heads, kvHeads, size, capacity}: Shapes) {
  const random = new Random(`attention ${rows} ${heads} ${kvHeads} ${size} ${capacity}`);
  const [q, k, v] = [
    random.normals(rows * heads * size, 2),
    random.normals(kvHeads * capacity * size),
    random.normals(kvHeads * capacity * size),
  ];
  return {
    host: [q, k, v] as const,
    tensors: [
      tf.tensor3d(q, [rows, heads, size]),
      tf.tensor3d(k, [kvHeads, capacity, size]),
      tf.tensor3d(v, [kvHeads, capacity, size]),
    ] as const,
  };
}

forEachBackend('CausalAttention', (backend) => {
  const cases: [string, Shapes, number][] = [
    ['one key', {rows: 1, heads: 1, kvHeads: 1, size: 1, capacity: 1}, 0],
    ['MHA, the first token', {rows: 1, heads: 5, kvHeads: 5, size: 64, capacity: 111}, 0],
    ['MHA, the middle', {rows: 5, heads: 5, kvHeads: 5, size: 32, capacity: 333}, 200],
    ['MHA, to the end', {rows: 5, heads: 3, kvHeads: 3, size: 33, capacity: 111}, 106],
    ['GQA, one KV head', {rows: 5, heads: 5, kvHeads: 1, size: 32, capacity: 333}, 131],
    ['GQA, 8 query heads and 2 KV heads', {rows: 3, heads: 8, kvHeads: 2, size: 31, capacity: 989}, 700],
    ['a prompt', {rows: 111, heads: 4, kvHeads: 2, size: 16, capacity: 128}, 0],
    ['rows past the end', {rows: 5, heads: 2, kvHeads: 1, size: 8, capacity: 33}, 30],
    ['a long context', {rows: 1, heads: 2, kvHeads: 1, size: 64, capacity: 4099}, 4098],
  ];
  for (const [title, shapes, position] of cases) {
    it(`equals the reference: ${title}`, () => {
      const {rows, heads, kvHeads, size, capacity} = shapes;
      const {host, tensors} = inputsOf(shapes);
      const [q, k, v] = host;
      const visible = reference.causal(position, capacity);
      const scale = 1 / Math.sqrt(size);
      const expected = reference.attention(q, [rows, heads, size], k, v, [kvHeads, capacity], scale, visible);

      const plain = causalAttention(...tensors, at(position));
      const [out, byHead] = causalAttention(...tensors, at(position), {weights: 'head'});
      const [same, mean] = causalAttention(...tensors, at(position), {weights: 'layer', scale});
      expect(out.shape).to.deep.equal([rows, heads, size]);
      expect(byHead.shape).to.deep.equal([heads, rows, capacity]);
      expect(mean.shape).to.deep.equal([rows, capacity]);
      const tolerance = {relative: 2e-5, absolute: 5e-6};
      expectClose(out.dataSync(), expected.out, tolerance);
      expectClose(byHead.dataSync(), expected.weights, tolerance);
      expectClose(mean.dataSync(), reference.meanOverHeads(expected.weights, heads), tolerance);
      expectSame(plain.dataSync(), out.dataSync()); // asking for weights changes nothing
      expectSame(same.dataSync(), out.dataSync());

      // Heads may be named in any order and more than once.
      const named = [heads - 1, 0, heads - 1, heads >> 1];
      const of = tf.tensor1d(named, 'int32');
      const [alike, some] = causalAttention(...tensors, at(position), {weights: 'head', heads: of});
      expect(some.shape).to.deep.equal([4, rows, capacity]);
      expectSame(some.dataSync(), tf.gather(byHead, of, 0).dataSync());
      expectSame(alike.dataSync(), out.dataSync());
    });
  }

  // More and fewer rows than CUDA's decoding takes, and windows about the sizes of the kernels' tiles and chunks.
  const windows: [string, Shapes, position: number, window: number][] = [
    ['one key', {rows: 5, heads: 4, kvHeads: 2, size: 16, capacity: 111}, 60, 1],
    ['a few keys', {rows: 5, heads: 3, kvHeads: 3, size: 33, capacity: 333}, 200, 7],
    ['longer than the text', {rows: 5, heads: 6, kvHeads: 2, size: 32, capacity: 333}, 20, 64],
    ['as long as the text', {rows: 5, heads: 6, kvHeads: 2, size: 32, capacity: 333}, 59, 64],
    ['tiles', {rows: 31, heads: 4, kvHeads: 1, size: 64, capacity: 989}, 700, 128],
    ['past a tile', {rows: 3, heads: 8, kvHeads: 2, size: 128, capacity: 989}, 511, 129],
    ['a long context', {rows: 5, heads: 2, kvHeads: 1, size: 64, capacity: 4099}, 4090, 1000],
    ['a prompt', {rows: 111, heads: 4, kvHeads: 2, size: 16, capacity: 128}, 0, 20],
    ['a later part of a prompt', {rows: 150, heads: 4, kvHeads: 2, size: 64, capacity: 600}, 301, 77],
    ['rows past the end', {rows: 40, heads: 2, kvHeads: 1, size: 8, capacity: 33}, 30, 5],
  ];
  for (const [title, shapes, position, window] of windows) {
    it(`equals the reference with a window: ${title}`, () => {
      const {rows, heads, kvHeads, size, capacity} = shapes;
      const {host, tensors} = inputsOf(shapes);
      const [q, k, v] = host;
      const visible = reference.causal(position, capacity, window);
      const scale = 1 / Math.sqrt(size);
      const expected = reference.attention(q, [rows, heads, size], k, v, [kvHeads, capacity], scale, visible);
      const tolerance = {relative: 2e-5, absolute: 5e-6};
      const [out, byHead] = causalAttention(...tensors, at(position), {weights: 'head', window});
      const [same, mean] = causalAttention(...tensors, at(position), {weights: 'layer', window});
      expectClose(out.dataSync(), expected.out, tolerance);
      expectClose(byHead.dataSync(), expected.weights, tolerance);
      expectClose(mean.dataSync(), reference.meanOverHeads(expected.weights, heads), tolerance);
      expectSame(same.dataSync(), out.dataSync());
      expectSame(causalAttention(...tensors, at(position), {window}).dataSync(), out.dataSync());
      const weights = byHead.dataSync();
      expect(weights.every((weight, i) => weight === 0 || expected.weights[i] > 0)).to.equal(true);
    });
  }

  it('gives a row the same bits alone and among others, with a window', () => {
    const {tensors} = inputsOf({rows: 21, heads: 6, kvHeads: 2, size: 40, capacity: 400});
    const [q, k, v] = tensors;
    const options = {weights: 'layer', window: 131} as const;
    const [together, weights] = causalAttention(q, k, v, at(243), options);
    for (const t of [0, 1, 7, 16, 20]) {
      const [alone, own] = causalAttention(tf.slice(q, [t, 0, 0], [1, 6, 40]), k, v, at(243 + t), options);
      expectSame(alone.dataSync(), tf.slice(together, [t, 0, 0], [1, 6, 40]).dataSync());
      expectSame(own.dataSync(), tf.slice(weights, [t, 0], [1, 400]).dataSync());
    }
  });

  it('equals attention without a window where the window holds every key', () => {
    for (const rows of [5, 40]) {
      const {tensors} = inputsOf({rows, heads: 4, kvHeads: 2, size: 16, capacity: 300});
      const dense = causalAttention(...tensors, at(130));
      for (const window of [130 + rows, 1000, 2 ** 31 - 1])
        expectSame(causalAttention(...tensors, at(130), {window}).dataSync(), dense.dataSync());
    }
  });

  it('counts a position before the first place as the first, and one past the last as one past it', () => {
    for (const rows of [3, 40]) {
      const {tensors} = inputsOf({rows, heads: 2, kvHeads: 1, size: 8, capacity: 90});
      for (const [far, near] of [
        [-7, 0],
        [1000, 90],
        [2 ** 31 - 1, 90],
      ])
        for (const window of [0, 20])
          expectSame(
            causalAttention(...tensors, at(far), {window}).dataSync(),
            causalAttention(...tensors, at(near), {window}).dataSync(),
          );
    }
  });

  it('gives exactly 0 to keys that a row does not see', () => {
    const {tensors} = inputsOf({rows: 3, heads: 2, kvHeads: 1, size: 8, capacity: 33});
    const [, weights] = causalAttention(...tensors, at(10), {weights: 'head'});
    weights.dataSync().forEach((w, i) => {
      const [t, j] = [Math.floor(i / 33) % 3, i % 33];
      if (j > 10 + t) expect(w).to.equal(0);
      else expect(w).to.be.greaterThan(0);
    });
  });

  if (isNative(backend))
    it('gives zeros for heads that do not exist', () => {
      for (const rows of [3, 40]) {
        const {tensors} = inputsOf({rows, heads: 4, kvHeads: 2, size: 8, capacity: 45});
        const heads = tf.tensor1d([-1, 1, 4, 2 ** 31 - 1, -(2 ** 31)], 'int32');
        const [, some] = causalAttention(...tensors, at(2), {weights: 'head', heads});
        const [, all] = causalAttention(...tensors, at(2), {weights: 'head'});
        const none = tf.zeros([1, rows, 45]);
        const second = tf.slice(all, [1, 0, 0], [1, rows, 45]);
        expectSame(some.dataSync(), tf.concat([none, second, none, none, none]).dataSync());
      }
    });

  it('gives a row the same bits alone and among others', () => {
    const shapes = {rows: 21, heads: 6, kvHeads: 2, size: 40, capacity: 400};
    const {tensors} = inputsOf(shapes);
    const [q, k, v] = tensors;
    const [together, weights] = causalAttention(q, k, v, at(243), {weights: 'layer'});
    for (const t of [0, 1, 7, 16, 20]) {
      const row = tf.slice(q, [t, 0, 0], [1, 6, 40]);
      const [alone, aloneWeights] = causalAttention(row, k, v, at(243 + t), {weights: 'layer'});
      expectSame(alone.dataSync(), tf.slice(together, [t, 0, 0], [1, 6, 40]).dataSync());
      expectSame(aloneWeights.dataSync(), tf.slice(weights, [t, 0], [1, 400]).dataSync());
    }
  });

  it('survives scores whose exponentials overflow', () => {
    const [q, k] = [tf.tensor3d([[[1e4]]]), tf.tensor3d([[[-1], [0.5], [1], [9]]])];
    const v = tf.tensor3d([[[1], [2], [3], [4]]]);
    expectClose(causalAttention(q, k, v, at(2)).dataSync(), [3]);
  });

  it('lets NaN through to the rows that see it, and to no other head', () => {
    const {tensors} = inputsOf({rows: 2, heads: 2, kvHeads: 2, size: 4, capacity: 9});
    const [q, k, v] = tensors;
    const spoilt = tf.concat([tf.fill([1, 1, 4], NaN), tf.slice(q, [0, 1, 0], [1, 1, 4])], 1);
    const out = causalAttention(
      tf.concat([spoilt, tf.slice(q, [1, 0, 0], [1, 2, 4])], 0),
      k,
      v,
      at(5),
    ).dataSync();
    expect([...out.slice(0, 4)].every(Number.isNaN)).to.equal(true);
    expect([...out.slice(4)].every(Number.isFinite)).to.equal(true);
  });

  it('names the argument that does not fit', () => {
    const [q, kv] = [tf.zeros<tf.Rank.R3>([1, 6, 8]), tf.zeros<tf.Rank.R3>([2, 9, 8])];
    expect(() => causalAttention(q, tf.zeros([4, 9, 8]), tf.zeros([4, 9, 8]), at(0))).to.throw(
      "[CausalAttention] q must have a multiple of k's 4 heads but has 6",
    );
    expect(() => causalAttention(q, tf.zeros([2, 9, 7]), kv, at(0))).to.throw(
      '[CausalAttention] k must have shape [?,?,8] but has [2,9,7]',
    );
    expect(() => causalAttention(q, kv, tf.zeros([2, 8, 8]), at(0))).to.throw(
      '[CausalAttention] v must have shape [2,9,8] but has [2,8,8]',
    );
    expect(() => causalAttention(q, kv, kv, at(0), {weights: 'all' as never})).to.throw(
      '[CausalAttention] weights must be one of none, layer, head but is "all"',
    );
    const heads = tf.tensor1d([0], 'int32');
    expect(() => causalAttention(q, kv, kv, at(0), {weights: 'layer', heads} as never)).to.throw(
      `[CausalAttention] weights must be 'head' where heads are named but is "layer"`,
    );
    expect(() => causalAttention(q, kv, kv, at(0), {weights: 'head', heads: tf.zeros([1])})).to.throw(
      '[CausalAttention] heads must be int32 but is float32',
    );
    const none = tf.zeros([0], 'int32');
    expect(() => causalAttention(q, kv, kv, at(0), {weights: 'head', heads: none})).to.throw(
      '[CausalAttention] heads must name one or more but has none',
    );
    for (const window of [-1, 0.5, 2 ** 31])
      expect(() => causalAttention(q, kv, kv, at(0), {window})).to.throw(
        `[CausalAttention] window must be an integer from 0 to 2147483647 but is ${window}`,
      );
    expect(() => causalAttention(q, kv, kv, at(0), {scale: Infinity})).to.throw(
      '[CausalAttention] scale must be a finite number but is Infinity',
    );
  });
});

onBackend('specattn', 'CausalAttention with a window over caches of 16-bit floats', () => {
  for (const storage of ['bfloat16', 'float16'] as const) {
    for (const [rows, size, window] of [
      [1, 64, 100],
      [5, 128, 65],
      [31, 64, 7],
      [200, 64, 90],
      [200, 128, 3],
      [130, 256, 64],
    ]) {
      it(`equals the reference: ${storage}, ${rows} rows, head size ${size}, window ${window}`, () => {
        const shapes = {rows, heads: 4, kvHeads: 2, size, capacity: 900};
        const {host, tensors} = inputsOf(shapes);
        const [k, v] = [narrow(tensors[1], storage), narrow(tensors[2], storage)];
        const visible = reference.causal(640, 900, window);
        const dims = [rows, 4, size];
        const expected = reference.attention(
          host[0],
          dims,
          k.dataSync(),
          v.dataSync(),
          [2, 900],
          0.1,
          visible,
        );
        const [out, weights] = causalAttention(tensors[0], k, v, at(640), {
          scale: 0.1,
          weights: 'head',
          window,
        });
        // The processor's and CUDA's kernels of many rows round queries and exponentials to the type of the caches.
        const absolute = storage === 'bfloat16' ? 0.03 : 0.004;
        expectClose(out.dataSync(), expected.out, {relative: 0, absolute});
        expectClose(weights.dataSync(), expected.weights, {relative: 0, absolute: absolute / 2});
        const zeros = weights.dataSync().every((weight, i) => weight === 0 || expected.weights[i] > 0);
        expect(zeros).to.equal(true);
      });
    }
  }
});

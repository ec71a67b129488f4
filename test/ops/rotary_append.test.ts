import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';

import {kvCacheAppend, rmsNorm, rotaryAppend, rotaryEmbedding} from '../../ops/index.js';
import type {Storage} from '../../backend/index.js';
import {forEachBackend, isCuda, isNative, onBackend} from '../backends.js';
import {expectClose, expectSame} from '../compare.js';
import {Random} from '../random.js';
import * as reference from '../reference.js';
import {narrow, widen} from '../storage.js';

const at = (position: number): tf.Tensor1D => tf.tensor1d([position], 'int32');

/** [T,H,G,C,D] */
type Sizes = readonly [rows: number, heads: number, kvHeads: number, capacity: number, size: number];

/** Random inputs and a function that computes the outputs in float64 from the values of the caches before the call. */
function problem([rows, heads, kvHeads, capacity, size]: Sizes, position: number, scale: number) {
  const random = new Random(`RotaryAppend ${rows} ${heads} ${kvHeads} ${capacity} ${size}`);
  const [q, k, v] = [heads, kvHeads, kvHeads].map((count) => random.normals(rows * count * size));
  const norms = [random.normals(size), random.normals(size)];
  const head = (t: number, values: Float32Array, count: number) =>
    Array.from(values.subarray(t * count * size, (t + 1) * count * size));
  const qkv = Array.from({length: rows}, (_, t) => [
    ...head(t, q, heads),
    ...head(t, k, kvHeads),
    ...head(t, v, kvHeads),
  ]).flat();
  const frequencies = Float32Array.from({length: size / 2}, (_, i) => 10000 ** ((-2 * i) / size));
  const rotate = (x: ArrayLike<number>, count: number) =>
    reference.rotaryEmbedding(x, [rows, count, size], position, frequencies, scale);
  const cacheShape: [number, number, number] = [kvHeads, capacity, size];
  return {
    qkv: tf.tensor2d(qkv, [rows, (heads + 2 * kvHeads) * size]),
    frequencies: tf.tensor1d(frequencies),
    caches: [0, 1].map(() => tf.tensor3d(random.normals(kvHeads * capacity * size), cacheShape)),
    norms: {q: tf.tensor1d(norms[0]), k: tf.tensor1d(norms[1]), epsilon: 0.01},
    /** @param normed whether query and key heads go through `norms` first */
    expected: (before: ArrayLike<number>[], normed = false) => {
      const [queries, keys] = normed
        ? [reference.rmsNorm(q, norms[0], 0.01), reference.rmsNorm(k, norms[1], 0.01)]
        : [q, k];
      return [
        rotate(queries, heads),
        reference.kvCacheAppend(before[0], cacheShape, rotate(keys, kvHeads), position),
        reference.kvCacheAppend(before[1], cacheShape, v, position),
      ];
    },
  };
}

const CASES: [Sizes, position: number, scale: number][] = [
  [[1, 1, 1, 1, 2], 0, 1],
  [[1, 32, 8, 111, 64], 110, 1], // the last row of the cache
  [[5, 3, 1, 33, 30], 17, 1.25],
  [[5, 4, 2, 31, 128], 28, 1], // two rows past the end
  [[2, 4, 4, 8, 6], 8, 1], // both rows past the end
  [[3, 2, 1, 4, 8], 1000000, 1],
  [[33, 5, 2, 40, 66], 0, 1],
  [[989, 1, 1, 989, 2], 0, 1],
  [[4, 0, 3, 9, 10], 2, 1], // no queries
];

forEachBackend('RotaryAppend', (backend) => {
  for (const [sizes, position, scale] of CASES) {
    it(`equals the reference on T,H,G,C,D = ${sizes.join()} at position ${position}, scale ${scale}`, () => {
      const [rows, heads, , , size] = sizes;
      const {qkv, frequencies, caches, expected} = problem(sizes, position, scale);
      const values = expected(caches.map((cache) => cache.dataSync().slice()));
      const results = rotaryAppend(qkv, at(position), frequencies, caches[0], caches[1], scale);
      expect(results[0].shape).to.deep.equal([rows, heads, size]);
      expectClose(results[0].dataSync(), values[0]);
      expect(results[1].shape).to.deep.equal(caches[0].shape);
      expectClose(results[1].dataSync(), values[1]);
      expectSame(results[2].dataSync(), values[2]); // values are copied without rounding
    });
  }

  for (const [sizes, position, scale] of CASES) {
    it(`equals the reference with norms on T,H,G,C,D = ${sizes.join()} at position ${position}`, () => {
      const {qkv, frequencies, caches, norms, expected} = problem(sizes, position, scale);
      const values = expected(
        caches.map((cache) => cache.dataSync().slice()),
        true,
      );
      const [k, v] = caches;
      const results = rotaryAppend(qkv, at(position), frequencies, k, v, scale, norms);
      expectClose(results[0].dataSync(), values[0]);
      expectClose(results[1].dataSync(), values[1]);
      expectSame(results[2].dataSync(), values[2]); // copied
    });
  }

  it('gives a row the same bits alone and among others, with norms', () => {
    const {qkv, frequencies, caches, norms} = problem([5, 3, 2, 9, 46], 3, 1);
    const copies = caches.map((cache) => cache.clone());
    const together = rotaryAppend(qkv, at(3), frequencies, copies[0], copies[1], 1, norms);
    const results = together.map((x) => x.dataSync());
    const row = tf.slice(qkv, [2, 0], [1, 322]);
    const [q, k] = rotaryAppend(row, at(5), frequencies, caches[0], caches[1], 1, norms);
    expectSame(q.dataSync(), results[0].slice(2 * 138, 3 * 138));
    for (let g = 0; g < 2; g++) {
      const at5 = (g * 9 + 5) * 46;
      expectSame(k.dataSync().slice(at5, at5 + 46), results[1].slice(at5, at5 + 46));
    }
  });

  it('with frequencies of zero leaves queries and keys as they are', () => {
    const {qkv, caches} = problem([3, 2, 1, 9, 8], 5, 1);
    const [q, k] = rotaryAppend(qkv, at(5), tf.zeros([4]), caches[0], caches[1]);
    expectSame(q.dataSync(), tf.slice(qkv, [0, 0], [3, 16]).dataSync());
    expectSame(k.dataSync().slice(40, 64), tf.slice(qkv, [0, 16], [3, 8]).dataSync());
  });

  it('drops rows at negative positions', () => {
    const {qkv, frequencies, caches} = problem([5, 2, 1, 4, 8], -3, 1);
    const before = caches.map((cache) => cache.dataSync().slice());
    const values = tf.slice(qkv, [0, 24], [5, 8]).dataSync();
    const [q, , v] = rotaryAppend(qkv, at(-3), frequencies, caches[0], caches[1]);
    expect(q.shape).to.deep.equal([5, 2, 8]);
    expectSame(v.dataSync(), [...values.slice(24), ...before[1].slice(16)]);
  });

  it('leaves the caches as they are if there are no rows', () => {
    const {frequencies, caches} = problem([1, 3, 2, 5, 8], 0, 1);
    const before = caches.map((cache) => cache.dataSync().slice());
    const [q, ...after] = rotaryAppend(tf.zeros([0, 56]), at(1), frequencies, caches[0], caches[1]);
    expect(q.shape).to.deep.equal([0, 3, 8]);
    after.forEach((cache, i) => expectSame(cache.dataSync(), before[i]));
  });

  it('gives a row the same bits alone and among others', () => {
    const {qkv, frequencies, caches} = problem([5, 3, 2, 9, 46], 3, 1);
    const together = rotaryAppend(qkv, at(3), frequencies, caches[0].clone(), caches[1].clone());
    const results = together.map((x) => x.dataSync());
    const rows: number[] = [];
    let [k, v] = [caches[0], caches[1]] as tf.Tensor3D[];
    for (let t = 0; t < 5; t++) {
      const [q, ...next] = rotaryAppend(tf.slice(qkv, [t, 0], [1, 322]), at(3 + t), frequencies, k, v);
      rows.push(...q.dataSync());
      [k, v] = next;
    }
    expectSame(rows, results[0]);
    expectSame(k.dataSync(), results[1]);
    expectSame(v.dataSync(), results[2]);
  });

  it('keeps NaN and infinity to their own pair', () => {
    const x = [NaN, 1, Infinity, 1, 2, 3, 1, 4];
    const frequencies = [0.5, 0.25, 0.125, 0.0625];
    const rotated = reference.rotaryEmbedding(x, [1, 1, 8], 1, frequencies, 1);
    const caches = [tf.zeros([1, 2, 8]), tf.zeros([1, 2, 8])];
    const qkv = tf.tensor2d([...x, ...x, ...x], [1, 24]);
    const [q, k, v] = rotaryAppend(qkv, at(1), tf.tensor1d(frequencies), caches[0], caches[1]);
    const zeros = new Array<number>(8).fill(0);
    expectClose(q.dataSync(), rotated);
    expectClose(k.dataSync(), [...zeros, ...rotated]);
    expectSame(v.dataSync(), [...zeros, ...x]);
  });

  it('returns caches that outlive the donated ones, ' + (isNative(backend) ? 'in place' : 'copies'), () => {
    const caches = [tf.zeros([1, 2, 2]), tf.zeros([1, 2, 2])];
    const [qkv, position] = [tf.tensor2d([[1, 2, 3, 4, 5, 6]]), at(1)];
    const frequencies = tf.zeros([1]);
    const buffers = tf.engine().backend.numDataIds();
    const [q, k, v] = rotaryAppend(qkv, position, frequencies, caches[0], caches[1]);
    expect(tf.engine().backend.numDataIds() - buffers, 'new buffers').to.equal(isNative(backend) ? 1 : 3);
    tf.dispose(caches);
    expectSame(q.dataSync(), [1, 2]);
    expectSame(k.dataSync(), [0, 0, 3, 4]);
    expectSame(v.dataSync(), [0, 0, 5, 6]);
  });

  it('names the argument that does not fit', () => {
    const [k, v] = [tf.zeros([2, 8, 4]), tf.zeros([2, 8, 4])];
    const qkv = tf.zeros([1, 28]);
    const frequencies = tf.zeros([2]);
    expect(() => rotaryAppend(tf.zeros([1, 30]), at(0), frequencies, k, v)).to.throw(
      '[RotaryAppend] qkv must hold 4 key and value heads, and query heads, of size 4 a row but has width 30',
    );
    expect(() => rotaryAppend(tf.zeros([1, 12]), at(0), frequencies, k, v)).to.throw('but has width 12');
    expect(() => rotaryAppend(tf.zeros([1, 7, 4]), at(0), frequencies, k, v)).to.throw(
      '[RotaryAppend] qkv must have shape [?,?] but has [1,7,4]',
    );
    expect(() => rotaryAppend(qkv, tf.zeros([1]), frequencies, k, v)).to.throw(
      '[RotaryAppend] position must be int32 but is float32',
    );
    expect(() => rotaryAppend(qkv, at(0), tf.zeros([4]), k, v)).to.throw(
      '[RotaryAppend] frequencies must have shape [2] but has [4]',
    );
    expect(() => rotaryAppend(qkv, at(0), frequencies, k, tf.zeros([2, 9, 4]))).to.throw(
      '[RotaryAppend] vCache must have shape [2,8,4] but has [2,9,4]',
    );
    for (const size of [0, 3])
      expect(() =>
        rotaryAppend(qkv, at(0), frequencies, tf.zeros([2, 8, size]), tf.zeros([2, 8, size])),
      ).to.throw(`[RotaryAppend] kCache must have an even, positive head size but has ${size}`);
    const norms = {q: tf.zeros([4]), k: tf.zeros([5])};
    expect(() => rotaryAppend(qkv, at(0), frequencies, k, v, 1, norms)).to.throw(
      '[RotaryAppend] kNorm must have shape [4] but has [5]',
    );
    const negative = {q: norms.q, k: norms.q, epsilon: -1};
    expect(() => rotaryAppend(qkv, at(0), frequencies, k, v, 1, negative)).to.throw(
      '[RotaryAppend] epsilon must be 0 or more but is -1',
    );
    expect(() => rotaryAppend(qkv, at(0), frequencies, k, v, NaN)).to.throw(
      '[RotaryAppend] scale must be a finite number but is NaN',
    );
  });
});

onBackend('specattn', 'RotaryAppend with caches of any storage', () => {
  const storages: Storage[] = ['float32', 'bfloat16', 'float16'];

  /** A copy of `x` in `storage`. */
  const stored = (x: tf.Tensor, storage: Storage): tf.Tensor =>
    storage === 'bfloat16' || storage === 'float16' ? narrow(x, storage) : widen(x);

  for (const kStorage of storages) {
    for (const vStorage of storages) {
      it(`narrows rows to ${kStorage} keys and ${vStorage} values and leaves the rest alone`, () => {
        const sizes: Sizes = [5, 3, 2, 9, 46];
        const position = 6; // two rows past the end
        const {qkv, frequencies, caches, expected} = problem(sizes, position, 1);
        const [k, v] = [stored(caches[0], kStorage), stored(caches[1], vStorage)];
        const before = [k.dataSync().slice(), v.dataSync().slice()];
        const values = expected(before);
        const [q, nextK, nextV] = rotaryAppend(qkv, at(position), frequencies, k, v);
        expectClose(q.dataSync(), values[0]);
        // Rounding to nearest is off by at most half a unit of the last of 8 bits (bfloat16) or 11 bits (float16).
        const relative =
          kStorage === 'float32' ? 1e-5 : kStorage === 'bfloat16' ? 1.01 * 2 ** -8 : 1.01 * 2 ** -11;
        expectClose(nextK.dataSync(), values[1], {relative, absolute: 1e-6});
        const rows = tf.reshape(tf.slice(qkv, [0, 5 * 46], [5, 2 * 46]), [5, 2, 46]);
        expectSame(
          nextV.dataSync(),
          kvCacheAppend(stored(caches[1], vStorage), rows, at(position)).dataSync(),
        );
        for (let g = 0; g < 2; g++) {
          const kept = (x: ArrayLike<number>) => Array.from(x).slice(g * 9 * 46, (g * 9 + 6) * 46);
          expectSame(kept(nextK.dataSync()), kept(before[0]));
        }
      });
    }
  }

  it('normalises heads as RMSNorm does', () => {
    const {qkv, frequencies, caches, norms} = problem([5, 4, 2, 9, 64], 3, 1);
    const byHead = tf.reshape(qkv, [5, 8, 64]);
    const [queries, keys, values] = tf.split(byHead, [4, 2, 2], 1) as tf.Tensor3D[];
    const normed = (x: tf.Tensor3D, weight: tf.Tensor) =>
      tf.reshape(rmsNorm(tf.reshape(x, [-1, 64]), weight, norms.epsilon), x.shape);
    const parts = tf.reshape(
      tf.concat([normed(queries, norms.q), normed(keys, norms.k), values], 1),
      [5, 512],
    );
    const copies = caches.map((cache) => stored(cache, 'float32'));
    const expected = rotaryAppend(parts, at(3), frequencies, copies[0], copies[1]).map((x) => x.dataSync());
    const results = rotaryAppend(qkv, at(3), frequencies, caches[0], caches[1], 1, norms);
    results.forEach((x, i) => {
      if (isCuda()) expectClose(x.dataSync(), expected[i], {relative: 1e-5, absolute: 1e-6});
      else expectSame(x.dataSync(), expected[i]);
    });
  });

  it('equals RotaryEmbedding and KVCacheAppend', () => {
    const {qkv, frequencies, caches} = problem([5, 4, 2, 9, 64], 3, 1.5);
    const [k, v] = caches.map((cache) => stored(cache, 'bfloat16'));
    const byHead = tf.reshape(qkv, [5, 8, 64]);
    const [queries, keys, values] = tf.split(byHead, [4, 2, 2], 1);
    const rotated = [queries, keys].map((x) => rotaryEmbedding(x, at(3), frequencies, 1.5));
    const expectedK = kvCacheAppend(stored(caches[0], 'bfloat16'), rotated[1], at(3)).dataSync();
    const expectedV = kvCacheAppend(stored(caches[1], 'bfloat16'), values, at(3)).dataSync();
    const results = rotaryAppend(qkv, at(3), frequencies, k, v, 1.5);
    expectClose(results[0].dataSync(), rotated[0].dataSync());
    // Float32 values that differ in the last bit may round to neighbouring bfloat16 values.
    expectClose(results[1].dataSync(), expectedK, {relative: 1.01 * 2 ** -7, absolute: 1e-6});
    expectSame(results[2].dataSync(), expectedV);
  });

  it('refuses one buffer for both caches', () => {
    const cache = tf.zeros([1, 4, 2]);
    expect(() => rotaryAppend(tf.zeros([1, 6]), at(0), tf.zeros([1]), cache, cache)).to.throw(
      '[RotaryAppend] kCache and vCache must be different buffers',
    );
  });
});

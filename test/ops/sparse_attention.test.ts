import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';

import {causalAttention, nucleusSelect, sparseAttention, type Selection} from '../../ops/index.js';
import {forEachBackend, isNative} from '../backends.js';
import {expectClose, expectSame} from '../compare.js';
import {Random} from '../random.js';
import * as reference from '../reference.js';

const at = (position: number): tf.Tensor1D => tf.tensor1d([position], 'int32');

interface Shapes {
  rows: number;
  heads: number;
  kvHeads: number;
  size: number;
  capacity: number;
}

function inputsOf(random: Random, {rows, heads, kvHeads, size, capacity}: Shapes) {
  const host = [
    random.normals(rows * heads * size, 2),
    random.normals(kvHeads * capacity * size),
    random.normals(kvHeads * capacity * size),
  ] as const;
  const tensors = [
    tf.tensor3d(host[0], [rows, heads, size]),
    tf.tensor3d(host[1], [kvHeads, capacity, size]),
    tf.tensor3d(host[2], [kvHeads, capacity, size]),
  ] as const;
  return {host, tensors};
}

/** Key sets with random row masks. Every row sees the last key, so that no row is without keys. */
function selectionOf(random: Random, sets: number, {rows, capacity}: Shapes) {
  const seen = Array.from({length: sets}, () =>
    Array.from({length: capacity}, (_, j) =>
      j === capacity - 1 ? 2 ** rows - 1 : random.next() < 0.7 ? 0 : random.integer(2 ** rows),
    ),
  );
  const keys = new Int32Array(sets * capacity);
  const bits = new Int32Array(sets * capacity);
  const counts = new Int32Array(sets);
  seen.forEach((rowsOf, s) =>
    rowsOf.forEach((mask, j) => {
      if (mask === 0) return;
      const place = s * capacity + counts[s]++;
      keys[place] = j;
      bits[place] = mask;
    }),
  );
  const selection: Selection = {
    keys: tf.tensor2d(keys, [sets, capacity], 'int32'),
    bits: tf.tensor2d(bits, [sets, capacity], 'int32'),
    counts: tf.tensor1d(counts, 'int32'),
  };
  const visible = (set: number, t: number): number[] =>
    seen[set].flatMap((mask, j) => ((mask >> t) & 1 ? [j] : []));
  return {selection, visible};
}

/** A selection in which each row sees every key up to its own position. */
function everything(rows: number, capacity: number, position: number): Selection {
  const steps = Array.from({length: rows - 1}, () => tf.zeros<tf.Rank.R2>([1, capacity]));
  return nucleusSelect(steps, tf.ones([1, 1]), tf.ones([1]), at(position));
}

forEachBackend('SparseAttention', (backend) => {
  const cases: [string, Shapes, {sets: number; set?: number; perKvHead?: boolean}][] = [
    ['MHA', {rows: 5, heads: 5, kvHeads: 5, size: 64, capacity: 333}, {sets: 1}],
    ['GQA', {rows: 5, heads: 8, kvHeads: 2, size: 31, capacity: 989}, {sets: 3, set: 2}],
    [
      'one set for each KV head',
      {rows: 3, heads: 6, kvHeads: 3, size: 32, capacity: 111},
      {sets: 5, set: 1, perKvHead: true},
    ],
    ['one row', {rows: 1, heads: 4, kvHeads: 1, size: 40, capacity: 33}, {sets: 1}],
    ['31 rows', {rows: 31, heads: 2, kvHeads: 1, size: 16, capacity: 111}, {sets: 1}],
    ['one key', {rows: 2, heads: 2, kvHeads: 2, size: 8, capacity: 1}, {sets: 1}],
  ];
  for (const [title, shapes, {sets, set = 0, perKvHead = false}] of cases) {
    it(`equals the reference: ${title}`, () => {
      const {rows, heads, kvHeads, size, capacity} = shapes;
      const random = new Random(`SparseAttention ${title}`);
      const {host, tensors} = inputsOf(random, shapes);
      const {selection, visible} = selectionOf(random, sets, shapes);
      const [q, k, v] = host;
      const {out, weights} = reference.attention(
        q,
        [rows, heads, size],
        k,
        v,
        [kvHeads, capacity],
        0.2,
        (t, g) => visible(perKvHead ? set + g : set, t),
      );
      const options = {scale: 0.2, set, sets: perKvHead ? kvHeads : 1};
      const actual = sparseAttention(...tensors, selection, options);
      expect(actual.shape).to.deep.equal([rows, heads, size]);
      expectClose(actual.dataSync(), out, {relative: 2e-5, absolute: 5e-6});

      const [same, means] = sparseAttention(...tensors, selection, {...options, weights: true});
      expectSame(same.dataSync(), actual.dataSync()); // asking for weights changes nothing
      expect(means.shape).to.deep.equal([options.sets, rows, capacity]);
      const perSet = weights.length / options.sets;
      for (let s = 0; s < options.sets; s++) {
        const ofSet = weights.subarray(s * perSet, (s + 1) * perSet);
        expectClose(
          means
            .dataSync()
            .slice((s * perSet) / (heads / options.sets), ((s + 1) * perSet) / (heads / options.sets)),
          reference.meanOverHeads(ofSet, heads / options.sets),
          {relative: 2e-5, absolute: 5e-6},
        );
      }
      weights.forEach((weight, i) => {
        const [h, t, j] = [Math.floor(i / capacity / rows), Math.floor(i / capacity) % rows, i % capacity];
        const s = Math.floor(h / (heads / options.sets));
        if (weight === 0) expect(means.dataSync()[(s * rows + t) * capacity + j]).to.equal(0);
      });
    });
  }

  for (const [shapes, position, window, perGroup] of [
    [{rows: 5, heads: 6, kvHeads: 3, size: 32, capacity: 333}, 200, 17, false],
    [{rows: 5, heads: 6, kvHeads: 3, size: 64, capacity: 333}, 320, 130, true],
    [{rows: 31, heads: 2, kvHeads: 1, size: 40, capacity: 500}, 40, 60, false],
    [{rows: 3, heads: 2, kvHeads: 2, size: 8, capacity: 90}, -5, 4, false],
    [{rows: 3, heads: 2, kvHeads: 2, size: 8, capacity: 90}, 1000, 40, false],
  ] as const) {
    it(`sees no selected key before its window: ${JSON.stringify([shapes, position, window, perGroup])}`, () => {
      const {rows, heads, kvHeads, size, capacity} = shapes;
      const random = new Random(`SparseAttention window ${position}`);
      const {host, tensors} = inputsOf(random, shapes);
      const {selection, visible} = selectionOf(random, kvHeads, shapes);
      const start = Math.min(Math.max(position, 0), capacity);
      const seen = (t: number, g: number) =>
        visible(perGroup ? g : 0, t).filter((key) => key > start + t - window);
      const [q, k, v] = host;
      const cache = [kvHeads, capacity];
      const {out, weights} = reference.attention(q, [rows, heads, size], k, v, cache, 0.2, seen);
      const sets = perGroup ? kvHeads : 1;
      const options = {scale: 0.2, sets, window, weights: true, position: at(position)} as const;
      const [actual, means] = sparseAttention(...tensors, selection, options);
      const tolerance = {relative: 2e-5, absolute: 5e-6};
      expectClose(actual.dataSync(), out, tolerance);
      const perSet = weights.length / sets;
      const expected = Array.from({length: sets}, (_, s) => [
        ...reference.meanOverHeads(weights.subarray(s * perSet, (s + 1) * perSet), heads / sets),
      ]).flat();
      expectClose(means.dataSync(), expected, tolerance);
      expect(means.dataSync().every((weight, i) => weight === 0 || expected[i] > 0)).to.equal(true);
    });
  }

  it('equals CausalAttention with a window to the bit where every key is selected', () => {
    const shapes = {rows: 5, heads: 8, kvHeads: 2, size: 40, capacity: 500};
    const {tensors} = inputsOf(new Random('SparseAttention dense window'), shapes);
    for (const window of [1, 33, 128, 500])
      expectSame(
        sparseAttention(...tensors, everything(5, 500, 300), {window, position: at(300)}).dataSync(),
        causalAttention(...tensors, at(300), {window}).dataSync(),
      );
  });

  for (const [shapes, position] of [
    [{rows: 5, heads: 5, kvHeads: 5, size: 64, capacity: 333}, 290],
    [{rows: 5, heads: 8, kvHeads: 2, size: 40, capacity: 989}, 0],
    [{rows: 2, heads: 5, kvHeads: 1, size: 32, capacity: 4099}, 4090],
    [{rows: 17, heads: 2, kvHeads: 1, size: 33, capacity: 111}, 94],
  ] as const) {
    it(`equals CausalAttention to the bit if every key is selected: ${JSON.stringify(shapes)}`, () => {
      const {tensors} = inputsOf(new Random('SparseAttention dense'), shapes);
      const selection = everything(shapes.rows, shapes.capacity, position);
      expectSame(
        sparseAttention(...tensors, selection).dataSync(),
        causalAttention(...tensors, at(position)).dataSync(),
      );
    });
  }

  it('gives a row the same bits alone and among rows that see other keys of the same list', () => {
    const shapes = {rows: 5, heads: 4, kvHeads: 2, size: 24, capacity: 500};
    const {tensors} = inputsOf(new Random('SparseAttention rows'), shapes);
    const [q, k, v] = tensors;
    const together = sparseAttention(q, k, v, everything(5, 500, 400)).dataSync();
    // Row 1 runs alone, so its bit becomes bit 0. The list of keys stays the same, including later keys that no row sees now.
    const all = everything(5, 500, 400);
    const bitsOfRow = tf.tensor2d(
      all.bits.dataSync().map((bits) => (bits >> 1) & 1),
      [1, 500],
      'int32',
    );
    const alone = sparseAttention(tf.slice(q, [1, 0, 0], [1, 4, 24]), k, v, {...all, bits: bitsOfRow});
    expectSame(alone.dataSync(), together.slice(96, 192));
  });

  it('gives zeros to a row that sees no key, and skips keys that do not exist', () => {
    const v = tf.tensor3d([[[1], [2], [4]]]);
    const ones = tf.ones<tf.Rank.R3>([1, 3, 1]);
    const selection = {
      keys: tf.tensor2d([[-1, 0, 7]], [1, 3], 'int32'),
      bits: tf.tensor2d([[1, 1, 1]], [1, 3], 'int32'),
      counts: tf.tensor1d([3], 'int32'),
    };
    expectSame(sparseAttention(tf.ones([2, 1, 1]), ones, v, selection).dataSync(), [1, 0]);
    const one = {
      ...selection,
      keys: tf.tensor2d([[0, 2, 7]], [1, 3], 'int32'),
      bits: tf.tensor2d([[1, 4, 7]], [1, 3], 'int32'),
    };
    const [, weights] = sparseAttention(tf.ones([2, 1, 1]), ones, v, one, {weights: true});
    expectSame(weights.dataSync(), [1, 0, 0, 0, 0, 0]);
    const none = {...selection, counts: tf.tensor1d([0], 'int32')};
    expectSame(sparseAttention(tf.ones([2, 1, 1]), ones, v, none).dataSync(), [0, 0]);
    expectSame(
      sparseAttention(tf.ones([2, 1, 1]), ones, v, none, {weights: true})[1].dataSync(),
      [0, 0, 0, 0, 0, 0],
    );
  });

  if (isNative(backend)) {
    it('leaves no buffers if the native kernel refuses', () => {
      const [q, kv] = [tf.zeros<tf.Rank.R3>([1, 1, 257]), tf.zeros<tf.Rank.R3>([1, 4, 257])];
      const every = everything(2, 4, 0);
      const buffers = tf.engine().backend.numDataIds();
      expect(() => sparseAttention(q, kv, kv, every)).to.throw(
        '[SparseAttention] the head size must be at most 256',
      );
      expect(tf.engine().backend.numDataIds()).to.equal(buffers);
    });
  }

  it('names the argument that does not fit', () => {
    const [q, kv] = [tf.zeros<tf.Rank.R3>([2, 6, 8]), tf.zeros<tf.Rank.R3>([3, 9, 8])];
    const selection: Selection = {
      keys: tf.zeros([4, 9], 'int32'),
      bits: tf.zeros([4, 9], 'int32'),
      counts: tf.zeros([4], 'int32'),
    };
    expect(() => sparseAttention(tf.zeros([32, 6, 8]), kv, kv, selection)).to.throw(
      '[SparseAttention] the number of rows must be at most 31 but is 32',
    );
    expect(() => sparseAttention(q, kv, kv, {...selection, counts: tf.zeros([3], 'int32')})).to.throw(
      '[SparseAttention] counts must have shape [4] but has [3]',
    );
    expect(() => sparseAttention(q, kv, kv, selection, {window: 1.5, position: at(0)})).to.throw(
      '[SparseAttention] window must be an integer from 0 to 2147483647 but is 1.5',
    );
    expect(() => sparseAttention(q, kv, kv, selection, {window: 4})).to.throw(
      '[SparseAttention] position must be a tensor but is undefined',
    );
    expect(() => sparseAttention(q, kv, kv, selection, {position: at(0)})).to.throw(
      '[SparseAttention] window must be 1 or more where a position is given but is 0',
    );
    expect(() => sparseAttention(q, kv, kv, selection, {sets: 2})).to.throw(
      '[SparseAttention] sets must be 1 or 3 but is 2',
    );
    expect(() => sparseAttention(q, kv, kv, selection, {set: 2, sets: 3})).to.throw(
      '[SparseAttention] set must be an integer from 0 to 1 but is 2',
    );
  });
});

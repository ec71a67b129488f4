import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import fc from 'fast-check';

import {nucleusMask} from '../../ops/index.js';
import {forEachBackend} from '../backends.js';
import {Random} from '../random.js';
import * as reference from '../reference.js';

const at = (position: number): tf.Tensor1D => tf.tensor1d([position], 'int32');
const MASSES = [1e-6, 0.1, 0.5, 0.9, 0.95, 0.97, 0.99, 0.999999, 1];

/** The keys that each row of the mask keeps. */
function keysOf(mask: tf.Tensor2D): number[][] {
  const [rows, capacity] = mask.shape;
  const values = mask.dataSync();
  return Array.from({length: rows}, (_, r) =>
    Array.from({length: capacity}, (_, j) => j).filter((j) => values[r * capacity + j] !== 0),
  );
}

function expectExact(row: ArrayLike<number>, p: number): void {
  const weights = tf.tensor2d(Float32Array.from(row), [1, row.length]);
  const [kept] = keysOf(nucleusMask(weights, at(row.length - 1), p));
  const expected = [...reference.nucleus(weights.dataSync(), row.length, p)].sort((a, b) => a - b);
  expect(kept, `p = ${p}`).to.deep.equal(expected);
}

forEachBackend('NucleusMask', () => {
  for (const size of [1, 2, 15, 16, 17, 31, 33, 111, 989, 4096]) {
    const random = new Random(`NucleusMask ${size}`);
    const rows: [string, () => ArrayLike<number>][] = [
      ['random', () => Float32Array.from({length: size}, () => random.next())],
      ['attention-like', () => random.distribution(size)],
      ['constant', () => new Float32Array(size).fill(0.1)],
      ['one-hot', () => new Float32Array(size).fill(1, size >> 1, (size >> 1) + 1)],
      ['heavy-tailed', () => Float32Array.from({length: size}, () => (1 - random.next()) ** -3)],
      ['over 60 binary orders', () => Float32Array.from({length: size}, () => 2 ** (-60 * random.next()))],
      ['denormal', () => Float32Array.from({length: size}, () => random.integer(1000) * 2 ** -149)],
      [
        'least denormals and zeros',
        () => Float32Array.from({length: size}, () => random.integer(4) * 2 ** -149),
      ],
      ['of few values', () => Float32Array.from({length: size}, () => random.integer(4) / 8)],
      [
        'with negative and NaN weights',
        () => Float32Array.from({length: size}, () => [NaN, -1, -0, 1, 2][random.integer(5)]),
      ],
      [
        'with infinite weights',
        () => Float32Array.from({length: size}, () => [1, Infinity][random.integer(2)]),
      ],
      ['huge', () => Float32Array.from({length: size}, () => 3e38 * random.next())],
      ['all zero', () => new Float32Array(size)],
    ];
    it(`is exact on rows of ${size}: ${rows.map(([title]) => title).join(', ')}`, () => {
      for (const [, make] of rows) for (const p of MASSES) expectExact(make(), p);
    });
  }

  it('is exact on rows that fast-check makes up', () => {
    const weight = fc.oneof(fc.float({noDefaultInfinity: true}), fc.constantFrom(0, 0.25, 0.5, 1));
    fc.assert(
      fc.property(fc.array(weight, {minLength: 1, maxLength: 70}), fc.constantFrom(...MASSES), (row, p) =>
        tf.tidy(() => expectExact(row, p)),
      ),
    );
  });

  it('keeps no key without weight, and one key if it has all the weight', () => {
    const weights = tf.tensor2d([
      [0, 0, 0, 0],
      [0, 0, 5, 0],
      [-1, NaN, -2, -3],
    ]);
    expect(keysOf(nucleusMask(weights, at(3), 1))).to.deep.equal([[], [2], []]);
  });

  it('breaks ties by index', () => {
    expect(keysOf(nucleusMask(tf.fill([1, 8], 0.125), at(7), 0.5))).to.deep.equal([[0, 1, 2, 3]]);
    expect(keysOf(nucleusMask(tf.tensor2d([[1, 4, 1, 1, 1]]), at(4), 0.7))).to.deep.equal([[0, 1, 2]]);
  });

  for (const position of [0, 5, 30, 100]) {
    it(`keeps only keys up to position + r, position ${position}`, () => {
      const random = new Random(`NucleusMask rows ${position}`);
      const [rows, capacity] = [5, 33];
      const values = random.distribution(rows * capacity);
      const kept = keysOf(nucleusMask(tf.tensor2d(values, [rows, capacity]), at(position), 0.9));
      for (let r = 0; r < rows; r++) {
        const row = values.slice(r * capacity, (r + 1) * capacity);
        const visible = Math.min(capacity, position + r + 1);
        expect(kept[r]).to.deep.equal([...reference.nucleus(row, visible, 0.9)].sort((a, b) => a - b));
      }
    });
  }

  it('names the argument that does not fit', () => {
    const weights = tf.zeros<tf.Rank.R2>([2, 8]);
    for (const p of [0, -0.5, 1.5, NaN])
      expect(() => nucleusMask(weights, at(0), p)).to.throw(`[NucleusMask] p must be in (0, 1] but is ${p}`);
    expect(() => nucleusMask(tf.zeros([8]), at(0), 0.9)).to.throw(
      '[NucleusMask] weights must have shape [?,?] but has [8]',
    );
  });
});

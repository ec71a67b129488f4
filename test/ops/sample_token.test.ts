import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';

import {RandomStream, sampleToken, type SampleTokenOptions} from '../../ops/index.js';
import {forEachBackend} from '../backends.js';
import {expectClose, expectSame} from '../compare.js';
import {Random} from '../random.js';
import * as reference from '../reference.js';
import {chiSquare, chiSquareLimit} from '../statistics.js';

const at = (position: number): tf.Tensor1D => tf.tensor1d([position], 'int32');
const seedOf = (a: number, b: number): tf.Tensor1D => tf.tensor1d([a, b], 'int32');
const filtersOf = (options: SampleTokenOptions) => ({temperature: 1, topK: 0, topP: 1, minP: 0, ...options});

forEachBackend('SampleToken', () => {
  const cases: SampleTokenOptions[] = [
    {},
    {temperature: 0.7},
    {temperature: 1.8},
    {temperature: 0},
    {topK: 1},
    {topK: 40},
    {topK: 1e6},
    {topP: 0.9},
    {topP: 1e-6},
    {minP: 0.05},
    {minP: 1},
    {temperature: 0.8, topK: 50, topP: 0.95, minP: 0.02},
  ];
  for (const options of cases) {
    it(`equals the reference: ${JSON.stringify(options)}`, () => {
      for (const vocabulary of [1, 2, 31, 33, 111, 989, 4096]) {
        const random = new Random(`SampleToken ${JSON.stringify(options)} ${vocabulary}`);
        const logits = random.normals(3 * vocabulary, 3);
        const seed = [random.integer(2 ** 31), -random.integer(2 ** 31)];
        const {token, probabilities} = sampleToken(
          tf.tensor2d(logits, [3, vocabulary]),
          tf.tensor1d(seed, 'int32'),
          at(77),
          {...options, stream: RandomStream.draft},
        );
        const [tokens, values] = [token.dataSync(), probabilities.dataSync()];
        for (let t = 0; t < 3; t++) {
          const row = logits.subarray(t * vocabulary, (t + 1) * vocabulary);
          const expected = reference.distribution(row, filtersOf(options));
          const actual = values.slice(t * vocabulary, (t + 1) * vocabulary);
          expectClose(actual, expected, {relative: 2e-5, absolute: 1e-9});
          expect(actual.map(Math.sign)).to.deep.equal(Float32Array.from(expected, Math.sign), 'kept tokens');
          const {token, margin} = reference.draw(
            expected,
            reference.uniform(seed, 77 + t, RandomStream.draft),
          );
          if (margin > 1e-5) expect(tokens[t]).to.equal(token);
        }
      }
    });
  }

  it('draws from the distribution, with independent draws for each stream, seed and position', () => {
    const logits = [0, 1, 2, -1, 0.5, 1.5, -3];
    const rows = 20000;
    const all = tf.tile(tf.tensor2d([logits]), [rows, 1]);
    const draws = (stream: number, seed: tf.Tensor1D, position: number, options: SampleTokenOptions = {}) =>
      sampleToken(all, seed, at(position), {...options, stream}).token.dataSync();
    const counts = (tokens: ArrayLike<number>) => {
      const count = new Array<number>(logits.length).fill(0);
      for (let i = 0; i < tokens.length; i++) count[tokens[i]]++;
      return count;
    };
    const expected = reference.distribution(logits, filtersOf({}));
    const runs = [
      draws(1, seedOf(1, 2), 0),
      draws(0, seedOf(1, 2), 0),
      draws(1, seedOf(1, 3), 0),
      draws(1, seedOf(2, 2), 0),
      draws(1, seedOf(1, 2), 12345),
    ];
    for (const tokens of runs) expect(chiSquare(counts(tokens), expected)).to.be.below(chiSquareLimit(6));
    // Two independent draws agree with probability Σ p².
    const agreement = expected.reduce((sum, p) => sum + p * p, 0);
    for (const tokens of runs.slice(1)) {
      const same = tokens.filter((token, t) => token === runs[0][t]).length;
      expect(chiSquare([same, rows - same], [agreement, 1 - agreement])).to.be.below(chiSquareLimit(1));
    }
    expectSame(draws(1, seedOf(1, 2), 12345), runs[4]);

    const options = {temperature: 0.8, topK: 4, topP: 0.9};
    const filtered = counts(draws(1, seedOf(5, 6), 0, options));
    const kept = reference.distribution(logits, filtersOf(options));
    expect(chiSquare(filtered, kept)).to.be.below(chiSquareLimit(kept.filter((p) => p > 0).length - 1));
    // The check can fail: filtered draws do not follow the unfiltered distribution.
    expect(chiSquare(filtered, expected)).to.be.above(chiSquareLimit(6));
  });

  it('gives a row the same token and bits alone and among others', () => {
    const logits = tf.tensor2d(new Random('SampleToken rows').normals(5 * 333, 2), [5, 333]);
    const options = {topK: 20, topP: 0.9};
    const together = sampleToken(logits, seedOf(7, 8), at(30), options);
    const [tokens, values] = [together.token.dataSync(), together.probabilities.dataSync()];
    for (let t = 0; t < 5; t++) {
      const row = tf.slice(logits, [t, 0], [1, 333]);
      const alone = sampleToken(row, seedOf(7, 8), at(30 + t), options);
      expect(alone.token.dataSync()[0]).to.equal(tokens[t]);
      expectSame(alone.probabilities.dataSync(), values.slice(t * 333, (t + 1) * 333));
    }
  });

  it('breaks ties by index', () => {
    const logits = tf.tensor2d([[1, 3, 3, 3, 3, 0]]);
    const one = sampleToken(logits, seedOf(0, 0), at(0), {temperature: 0});
    expectSame(one.token.dataSync(), [1]);
    expectSame(one.probabilities.dataSync(), [0, 1, 0, 0, 0, 0]);
    const two = sampleToken(logits, seedOf(0, 0), at(0), {topK: 2}).probabilities;
    expectClose(two.dataSync(), [0, 0.5, 0.5, 0, 0, 0]);
    const half = sampleToken(tf.zeros([1, 4]), seedOf(0, 0), at(0), {topP: 0.5}).probabilities;
    expectClose(half.dataSync(), [0.5, 0.5, 0, 0]);
  });

  it('never draws a token whose logit is −∞ or NaN', () => {
    const rows = 500;
    const logits = tf.tile(tf.tensor2d([[-Infinity, 1, NaN, 1, -Infinity]]), [rows, 1]);
    for (const temperature of [0, 1]) {
      const {token, probabilities} = sampleToken(logits, seedOf(3, 4), at(0), {temperature});
      expect([...new Set(token.dataSync())].every((t) => t === 1 || t === 3)).to.equal(true);
      const [first] = probabilities.arraySync();
      expectClose(first, temperature === 0 ? [0, 1, 0, 0, 0] : [0, 0.5, 0, 0.5, 0]);
    }
    const certain = sampleToken(tf.tensor2d([[1, Infinity, 2]]), seedOf(3, 4), at(0));
    expectSame(certain.probabilities.dataSync(), [0, 1, 0]);
  });

  it('gives a row of logits that are all −∞ or NaN no token, and the other rows theirs', () => {
    for (const size of [1, 5, 32, 1000, 40_000]) {
      const row = (value: number) => tf.fill<tf.Rank.R2>([1, size], value);
      const last = tf.concat2d([tf.fill<tf.Rank.R2>([1, size - 1], NaN), tf.tensor2d([[-Infinity]])], 1);
      const logits = tf.concat2d([row(NaN), row(0), row(-Infinity), last], 0);
      for (const options of [{temperature: 0}, {}, {topK: 3, topP: 0.9, minP: 0.1}]) {
        const {token, probabilities} = sampleToken(logits, seedOf(3, 4), at(0), options);
        const [first, second, third, fourth] = token.dataSync();
        expect([first, third, fourth]).to.deep.equal([-1, -1, -1]);
        expect(second).to.be.within(0, size - 1);
        const sums = tf.sum(probabilities, 1).dataSync();
        expectClose(sums, [0, 1, 0, 0], {relative: 1e-5, absolute: 0});
        expect(tf.max(probabilities, 1).dataSync()[0]).to.equal(0);
      }
    }
  });

  it('takes its settings from a tensor with the same result as from options', () => {
    const random = new Random('settings');
    for (const vocabulary of [1, 33, 4096]) {
      const logits = tf.tensor2d(random.normals(3 * vocabulary, 3), [3, vocabulary]);
      for (const options of cases) {
        // The options rounded to float32, as `settings` holds them.
        const exact = Object.fromEntries(Object.entries(options).map(([name, x]) => [name, Math.fround(x)]));
        const {temperature, topK, topP, minP} = filtersOf(options);
        const settings = tf.tensor1d([temperature, topK, topP, minP]);
        const wanted = sampleToken(logits, seedOf(4, 5), at(6), exact);
        const {token, probabilities} = sampleToken(logits, seedOf(4, 5), at(6), {settings});
        expectSame(token.dataSync(), wanted.token.dataSync());
        expectSame(probabilities.dataSync(), wanted.probabilities.dataSync());
      }
    }
  });

  it('clamps settings to their range, and takes NaN as no filter', () => {
    const logits = tf.tensor2d([[1, 3, 2, 0.5, 3]]);
    const sample = (...numbers: number[]) => {
      const {probabilities} = sampleToken(logits, seedOf(4, 5), at(6), {settings: tf.tensor1d(numbers)});
      return [...probabilities.dataSync()];
    };
    for (const temperature of [-1, NaN]) expect(sample(temperature, 0, 1, 0)).to.deep.equal([0, 1, 0, 0, 0]);
    const all = sample(1, 0, 1, 0);
    for (const topK of [-3, NaN, 1e20, Infinity]) expect(sample(1, topK, 1, 0)).to.deep.equal(all);
    for (const topP of [NaN, 2, Infinity]) expect(sample(1, 0, topP, 0)).to.deep.equal(all);
    for (const topP of [0, -1]) expect(sample(1, 0, topP, 0)).to.deep.equal([0, 1, 0, 0, 0]);
    for (const minP of [NaN, -1]) expect(sample(1, 0, 1, minP)).to.deep.equal(all);
    expect(sample(1, 0, 1, 7)).to.deep.equal([0, 0.5, 0, 0, 0.5]);
    expect(sample(1, 2.9, 1, 0)).to.deep.equal(sample(1, 2, 1, 0));
    const uniform = sample(Infinity, 0, 1, 0);
    for (const p of uniform) expect(p).to.be.closeTo(0.2, 1e-6);
  });

  it('names the argument that does not fit', () => {
    const logits = tf.zeros<tf.Rank.R2>([1, 8]);
    const sample = (options: SampleTokenOptions) => () => sampleToken(logits, seedOf(0, 0), at(0), options);
    expect(sample({temperature: -1})).to.throw('[SampleToken] temperature must be 0 to 3.4e38 but is -1');
    expect(sample({topK: 2.5})).to.throw('[SampleToken] topK must be an integer of 0 or more but is 2.5');
    expect(sample({topP: 0})).to.throw('[SampleToken] topP must be in (0, 1] but is 0');
    expect(sample({minP: 1.1})).to.throw('[SampleToken] minP must be in [0, 1] but is 1.1');
    expect(sample({stream: 4})).to.throw('[SampleToken] stream must be 0, 1, 2 or 3 but is 4');
    expect(sample({settings: tf.zeros([3])})).to.throw(
      '[SampleToken] settings must have shape [4] but has [3]',
    );
    expect(() => sampleToken(logits, at(0), at(0))).to.throw(
      '[SampleToken] seed must have shape [2] but has [1]',
    );
    expect(() => sampleToken(tf.zeros([1, 0]), seedOf(0, 0), at(0))).to.throw('at least one column');
  });
});

import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';

import {nucleusSelect} from '../../ops/index.js';
import {forEachBackend} from '../backends.js';
import {Random} from '../random.js';
import * as reference from '../reference.js';

const at = (position: number): tf.Tensor1D => tf.tensor1d([position], 'int32');

interface Case {
  steps: number;
  /** number of attention rows of the draft, which differ from step to step */
  sources: number;
  /** number of rows of the attention history, which are the same at every step */
  fixed?: number;
  capacity: number;
  position: number;
  sinks: number;
  recent: number;
  /** One row for each set. All are multiples of 1/16 and attention rows have 12 bits, so that float32 sums are exact. */
  mix: number[][];
  p: number[];
}

const plain = {sinks: 0, recent: 0, mix: [[1]], p: [0.9], sources: 1};
const cases: Record<string, Case> = {
  'one step': {...plain, steps: 1, capacity: 33, position: 20},
  'the start of the cache': {...plain, steps: 4, capacity: 33, position: 0, sinks: 4, recent: 8},
  'sinks beyond the position': {...plain, steps: 3, capacity: 33, position: 2, sinks: 8},
  'recent keys': {...plain, steps: 4, capacity: 111, position: 90, recent: 13},
  'recent keys fewer than the block': {...plain, steps: 6, capacity: 111, position: 50, recent: 3},
  'the end of the cache': {...plain, steps: 4, capacity: 111, position: 106, sinks: 2, recent: 5},
  'rows past the end': {...plain, steps: 4, capacity: 33, position: 31, sinks: 1, recent: 2},
  'thirty steps': {...plain, steps: 30, capacity: 989, position: 700, sinks: 4, recent: 16, p: [0.5]},
  'every key': {...plain, steps: 3, capacity: 111, position: 77, p: [1]},
  'several sets of one source each': {
    ...plain,
    steps: 4,
    sources: 3,
    capacity: 333,
    position: 250,
    sinks: 4,
    recent: 8,
    mix: [
      [1, 0, 0],
      [0, 1, 0],
      [0, 0, 1],
      [0, 1, 0],
    ],
    p: [0.97, 0.5, 0.999, 1],
  },
  'mixed sources': {
    ...plain,
    steps: 5,
    sources: 4,
    capacity: 111,
    position: 99,
    recent: 4,
    mix: [
      [0.5, 0.5, 0, 0],
      [1.5, 0, -0.5, 2],
      [0, 0, 0, 0],
    ],
    p: [0.9, 0.8, 0.9],
  },
  'the attention history': {
    ...plain,
    steps: 5,
    sources: 2,
    fixed: 3,
    capacity: 333,
    position: 300,
    recent: 4,
    mix: [
      [0.5, 0.25, 0, 0.25, 0],
      [0, 0, 0, 0, 1],
      [0, 1, 0, 0, 0],
    ],
    p: [0.9, 0.8, 0.95],
  },
  'the attention history alone': {...plain, steps: 2, sources: 0, fixed: 1, capacity: 111, position: 90},
  // A mixture layer map takes a few of many heads.
  'many sources': {
    ...plain,
    steps: 4,
    sources: 704,
    capacity: 111,
    position: 99,
    sinks: 2,
    recent: 4,
    mix: [
      sixteenths(704, {0: 3, 31: 1, 32: 2, 255: 1, 256: 4, 511: 2, 703: 3}),
      sixteenths(704, {5: 15, 700: 1}),
      sixteenths(704, {702: 16}),
    ],
    p: [0.9, 0.8, 0.95],
  },
};

/** A row of `length` weights: those given, in sixteenths, and 0 elsewhere. */
function sixteenths(length: number, given: Record<number, number>): number[] {
  return Array.from({length}, (_, i) => (given[i] ?? 0) / 16);
}

/** Attention rows of 12 bits. Their products with sixteenths, and sums of sixteen such products, are exact in float32. */
function stepOf(random: Random, sources: number, capacity: number): Float32Array {
  return Float32Array.from({length: sources * capacity}, () => Math.floor(4096 * random.next() ** 8) / 4096);
}

forEachBackend('NucleusSelect', () => {
  for (const union of ['row', 'causal', 'full'] as const) {
    for (const [
      title,
      {steps, sources, fixed = 0, capacity, position, sinks, recent, mix, p},
    ] of Object.entries(cases)) {
      it(`equals the reference: ${title}, union ${union}`, () => {
        const random = new Random(`NucleusSelect ${title}`);
        const values = Array.from({length: steps}, () => stepOf(random, sources, capacity));
        const same = stepOf(random, fixed, capacity);
        const options = {sinks, recent, union};
        const selected = nucleusSelect(
          values.map((step) => tf.tensor2d(step, [sources, capacity])),
          tf.tensor2d(mix),
          tf.tensor1d(p),
          at(position),
          {...options, ...(fixed > 0 && {fixed: tf.tensor2d(same, [fixed, capacity])})},
        );
        expect(selected.keys.shape).to.deep.equal([mix.length, capacity]);
        expect(selected.kept.shape).to.deep.equal([mix.length, steps + 1]);
        const counts = selected.counts.arraySync();
        const [keys, bits, kept] = [
          selected.keys.arraySync(),
          selected.bits.arraySync(),
          selected.kept.arraySync(),
        ];

        mix.forEach((weights, s) => {
          const mixed = values.map((step) =>
            Float64Array.from({length: capacity}, (_, j) =>
              weights.reduce((sum, weight, r) => {
                const source = r < sources ? step[r * capacity + j] : same[(r - sources) * capacity + j];
                return sum + weight * source;
              }, 0),
            ),
          );
          const rows = reference.select(mixed, Math.fround(p[s]), position, options);
          const union = Array.from({length: capacity}, (_, j) => j).filter((j) =>
            rows.some((row) => row.has(j)),
          );
          expect(counts[s], 'count').to.equal(union.length);
          expect(keys[s], 'keys').to.deep.equal([
            ...union,
            ...Array<number>(capacity - union.length).fill(0),
          ]);
          expect(kept[s], 'kept').to.deep.equal(rows.map((row) => row.size));
          const expectedBits = keys[s].map((j, n) =>
            n < union.length ? rows.reduce((bits, row, i) => bits | (Number(row.has(j)) << i), 0) : 0,
          );
          expect(bits[s], 'bits').to.deep.equal(expectedBits);
        });
      });
    }
  }

  it('never shows a row a later step, unless the union is full', () => {
    const random = new Random('NucleusSelect causality');
    const steps = Array.from({length: 4}, () => stepOf(random, 1, 64));
    const rowsSeen = (union: 'row' | 'causal' | 'full') => {
      const tensors = steps.map((step) => tf.tensor2d(step, [1, 64]));
      const {bits, keys} = nucleusSelect(tensors, tf.ones([1, 1]), tf.tensor1d([0.5]), at(50), {union});
      const [listed, rows] = [keys.dataSync(), bits.dataSync()];
      return [0, 1, 2, 3].map((i) => [...listed].filter((_, n) => (rows[n] >> i) & 1));
    };
    const before = {row: rowsSeen('row'), causal: rowsSeen('causal'), full: rowsSeen('full')};
    steps[3].reverse();
    for (const union of ['row', 'causal'] as const)
      expect(rowsSeen(union).slice(0, 3)).to.deep.equal(before[union].slice(0, 3));
    expect(rowsSeen('full')[0]).not.to.deep.equal(before.full[0]);
  });

  it('names the argument that does not fit', () => {
    const [step, mix, p] = [tf.zeros([2, 8]), tf.zeros([3, 2]), tf.ones([3])];
    expect(() => nucleusSelect([], mix, p, at(0))).to.throw(
      '[NucleusSelect] the number of steps must be 1 to 30 but is 0',
    );
    expect(() => nucleusSelect(Array(31).fill(step), mix, p, at(0))).to.throw('must be 1 to 30 but is 31');
    expect(() => nucleusSelect([step, tf.zeros([2, 9])], mix, p, at(0))).to.throw(
      '[NucleusSelect] step must have shape [2,8] but has [2,9]',
    );
    expect(() => nucleusSelect([step], mix, tf.ones([2]), at(0))).to.throw(
      '[NucleusSelect] p must have shape [3] but has [2]',
    );
    expect(() => nucleusSelect([step], mix, p, at(0), {sinks: 1.5})).to.throw(
      '[NucleusSelect] sinks must be an integer of 0 or more but is 1.5',
    );
    expect(() => nucleusSelect([step], mix, p, at(0), {union: 'all' as never})).to.throw(
      '[NucleusSelect] union must be one of row, causal, full but is "all"',
    );
  });
});

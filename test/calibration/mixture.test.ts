import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';

import type {LlamaConfig} from '../../models/hf/config.js';
import type {Combination} from '../../models/layer_map.js';
import {MixtureFit} from '../../src/calibration/mixture.js';
import {divergenceOf, responsibilities} from '../../src/calibration/mixture_steps.js';
import {forEachBackend} from '../backends.js';
import {expectClose} from '../compare.js';
import {Random} from '../random.js';

const SMALLEST = 1e-8;

/** Attention [heads][rows][keys] of the last `rows` positions of `keys`. A row has a few large weights and some of 0. */
function attention(random: Random, heads: number, rows: number, keys: number): number[][][] {
  return Array.from({length: heads}, () =>
    Array.from({length: rows}, (_, t) => {
      const seen = keys - rows + t + 1;
      const row = Array.from({length: keys}, (_, j) =>
        j < seen && (j === seen - 1 || random.next() < 0.9) ? 1e-3 + random.next() ** 8 : 0,
      );
      const sum = row.reduce((a, b) => a + b);
      return row.map((weight) => weight / sum);
    }),
  );
}

/** Σ_s weights[s] · source[s][n][j], in float64. */
const mix = (source: number[][][], weights: ArrayLike<number>) =>
  source[0].map((row, n) =>
    row.map((_, j) => source.reduce((sum, head, s) => sum + weights[s] * head[n][j], 0)),
  );

const byRow = (heads: number[][][]): tf.Tensor3D =>
  tf.transpose(tf.tensor3d(heads), [1, 0, 2]) as tf.Tensor3D;

forEachBackend('the steps of the fit', () => {
  const [targets, sources, rows, keys] = [3, 5, 7, 33];
  const random = new Random('mixture steps');
  const target = attention(random, targets, rows, keys);
  const source = attention(random, sources, rows, keys);
  const history = attention(random, targets, rows, keys);
  /** The parts of a target's combination: every source, and the target's attention history. */
  const sourcesOf = (t: number) => [...source, history[t]];
  const sample = () => ({target: byRow(target), source: byRow(source), history: byRow(history)});
  const weights = Array.from({length: targets}, () => {
    const row = Array.from({length: sources + 1}, (_, s) => (s === 1 ? 0 : random.next()));
    const sum = row.reduce((a, b) => a + b);
    return row.map((weight) => weight / sum);
  });

  it('responsibilities equal the definition', () => {
    const got = responsibilities(sample(), tf.tensor2d(weights));
    const expected = weights.flatMap((row, t) => {
      const mixed = mix(sourcesOf(t), row);
      return row.map((weight, s) => {
        let sum = 0;
        for (let n = 0; n < rows; n++)
          for (let j = 0; j < keys; j++)
            sum += (target[t][n][j] * sourcesOf(t)[s][n][j]) / Math.max(mixed[n][j], SMALLEST);
        return weight * sum;
      });
    });
    expectClose(got.dataSync(), expected, {relative: 1e-4});
  });

  it('divergences equal the definition', () => {
    const got = divergenceOf(sample(), tf.tensor2d(weights));
    const log = (x: number) => Math.log(Math.max(x, SMALLEST));
    const expected = weights.map((row, t) => {
      const mixed = mix(sourcesOf(t), row);
      return target[t].reduce(
        (sum, row, n) => sum + row.reduce((inner, a, j) => inner + a * (log(a) - log(mixed[n][j])), 0),
        0,
      );
    });
    expectClose(got.dataSync(), expected, {relative: 1e-4, absolute: 1e-4});
  });
});

forEachBackend('MixtureFit', () => {
  /** The draft has 2 layers of 3 heads, the verifier 2 layers of 4 query heads and 2 KV heads. */
  const draft = {numHiddenLayers: 2, numAttentionHeads: 3} as LlamaConfig;
  const verifier = {numHiddenLayers: 2, numAttentionHeads: 4, numKeyValueHeads: 2} as LlamaConfig;
  const [rows, keys] = [24, 64];
  const random = new Random('MixtureFit');
  const source = attention(random, 6, rows, keys);
  // For each verifier head, the weights of the draft's heads.
  const made = [
    [1, 0, 0, 0, 0, 0],
    [0.5, 0.5, 0, 0, 0, 0],
    [0, 0, 0.25, 0, 0, 0.75],
    [0, 0, 0.25, 0, 0, 0.75],
    [0, 0, 0, 0, 1, 0],
    [0, 0, 0, 0, 1, 0],
    [0, 0.2, 0, 0.8, 0, 0],
    [0, 0.4, 0, 0.6, 0, 0],
  ];
  const offer = (fit: MixtureFit) => {
    const layer = (heads: number[][][]) => tf.tensor3d(heads);
    const verifierHeads = made.map((weights) => mix(source, weights));
    fit.add(
      [layer(verifierHeads.slice(0, 4)), layer(verifierHeads.slice(4))],
      [layer(source.slice(0, 3)), layer(source.slice(3))],
      keys,
    );
  };

  it('finds the combinations that the attention was made of', async function () {
    this.timeout(120_000);
    const fit = new MixtureFit(draft, verifier, rows, keys, false);
    try {
      offer(fit);
      const {layers, groups, kl} = await fit.fit();
      const near = ({heads, own}: Combination, expected: number[][]) => {
        expect(own).to.equal(0);
        heads.forEach(([, , weight], i) => expect(weight).to.be.at.most(heads[Math.max(0, i - 1)][2]));
        const dense = (list: number[][]) => {
          const weights = new Float64Array(6);
          for (const [layer, head, weight] of list) weights[layer * 3 + head] = weight;
          return weights;
        };
        expectClose(dense(heads), dense(expected), {absolute: 0.02});
      };
      near(groups[0][0], [
        [0, 0, 0.75],
        [0, 1, 0.25],
      ]);
      near(groups[0][1], [
        [1, 2, 0.75],
        [0, 2, 0.25],
      ]);
      near(groups[1][0], [[1, 1, 1]]);
      near(groups[1][1], [
        [1, 0, 0.7],
        [0, 1, 0.3],
      ]);
      near(layers[0], [
        [0, 0, 0.375],
        [1, 2, 0.375],
        [0, 1, 0.125],
        [0, 2, 0.125],
      ]);
      near(layers[1], [
        [1, 1, 0.5],
        [1, 0, 0.35],
        [0, 1, 0.15],
      ]);
      for (const divergence of kl) expect(divergence).to.be.within(-1e-4, 5e-3);
    } finally {
      fit.dispose();
    }
  });

  it('finds the weight of the attention history, a running average updated before each round of 5 rows', async function () {
    this.timeout(120_000);
    // 2 verifier layers of one KV head each. Their rows are 3/4 of their running average and 1/4 of a draft head.
    const [of, columns] = [{...verifier, numAttentionHeads: 1, numKeyValueHeads: 1}, 40];
    const [drafted, start] = [attention(random, 6, columns, columns), attention(random, 2, 1, columns)];
    const made = [0, 1].map((layer) => {
      const rows = [start[layer][0]];
      let [before, average] = [rows[0].map((x) => x / 8), rows[0].map((x) => x / 8)];
      for (let t = 1; t < columns; t++) {
        if (t % 5 === 0) before = average;
        const whole = before.reduce((a, b) => a + b);
        rows.push(before.map((x, j) => (0.75 * x) / whole + 0.25 * drafted[layer * 4][t][j]));
        average = average.map((x, j) => x + (rows[t][j] - x) / 8);
      }
      return rows;
    });
    const fit = new MixtureFit(draft, of, columns, columns);
    try {
      // The rows are added in two parts. The first consists of whole rounds.
      for (const [from, to] of [
        [0, 15],
        [15, columns],
      ]) {
        const part = (heads: number[][][]) => tf.tensor3d(heads.map((head) => head.slice(from, to)));
        const layers = made.map((rows) => part([rows]));
        fit.add(layers, [part(drafted.slice(0, 3)), part(drafted.slice(3))], columns);
      }
      const {layers, groups, ownRows} = await fit.fit();
      expect(ownRows).to.equal(8);
      for (const [layer, expected] of [
        [0, [0, 0]],
        [1, [1, 1]],
      ] as const) {
        for (const {heads, own} of [layers[layer], groups[layer][0]]) {
          expect(own).to.be.within(0.55, 0.8); // the average begins at zero, so its first rows sum to less than 1
          expect(heads[0].slice(0, 2)).to.deep.equal(expected);
        }
      }
    } finally {
      fit.dispose();
    }
  });

  it('ends when the signal fires, and frees its memory', async () => {
    const fit = new MixtureFit(draft, verifier, rows, keys);
    offer(fit);
    const error = await fit.fit({signal: AbortSignal.abort()}).then(
      () => undefined,
      (error: Error) => error,
    );
    fit.dispose();
    expect(error?.name).to.equal('AbortError');
  });
});

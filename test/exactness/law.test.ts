/** Tests that the joint distribution (law) of three tokens sampled by dense speculative decoding is that of plain sampling. */
import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';

import type {LanguageModel} from '../../src/language_model.js';
import {resolveOptions} from '../../src/options.js';
import {forEachBackend, onBackend} from '../backends.js';
import {Decoder} from '../decoding/decoder.js';
import {withModel} from '../decoding/models.js';
import {distribution} from '../reference.js';
import {chiSquare, chiSquareLimit, pooled, totalVariation, totalVariationLimit} from '../statistics.js';
import {letterPair} from './letters.js';

const LETTERS = 6;
const TOKENS = 3;
const PROMPT = 'ab';
const DRAWS = 100_000;
/** Top-k and top-p each exclude some of the letters. */
const FILTERS = {temperature: 0.9, topK: 5, topP: 0.95};
/** A constant gamma, or one that depends on the number of accepted tokens of the previous round, as an adaptive gamma does. */
type Gamma = number | ((accepted: number) => number);
const PAIRS: Record<string, {distance: number; gamma: Gamma}> = {
  'a draft far from the verifier': {distance: 2, gamma: 2},
  'a draft near the verifier': {distance: 0.3, gamma: (accepted) => (accepted === 0 ? 1 : 3)},
};

/** Probabilities [6,6,6] of the three tokens after the prompt, computed in float64 from the verifier's own logits. */
function exactLaw(lm: LanguageModel): Float64Array {
  const prompt = lm.tokenizer.encode(PROMPT);
  const next = (prefix: number[]): Float64Array => {
    const logits = tf.tidy(() => {
      const tokens = tf.tensor1d([...prompt, ...prefix], 'int32');
      const cache = lm.verifier.newCache(lm.contextLength);
      const position = tf.tensor1d([0], 'int32');
      return lm.verifier.forward({tokens, position, cache, outputs: ['lastLogits']}).lastLogits!.dataSync();
    }) as Float32Array;
    return distribution(logits, {minP: 0, ...FILTERS});
  };
  const law: number[] = [];
  next([]).forEach((p, a) => next([a]).forEach((q, b) => next([a, b]).forEach((r) => law.push(p * q * r))));
  return Float64Array.from(law);
}

/**
 * The first three tokens of the answer to each seed, [draws,3]. The prompt is read once; each seed then sets the state back to its end and
 * runs rounds. Gamma 0 means plain decoding.
 */
async function drawn(lm: LanguageModel, gamma: Gamma, draws: number): Promise<Uint8Array> {
  const options = resolveOptions({verification: 'dense', ...FILTERS});
  const prompt = lm.tokenizer.encode(PROMPT);
  const decoder = new Decoder(lm, lm.contextLength);
  const written = new Uint8Array(draws * TOKENS);
  const stepOf = (accepted: number) =>
    decoder.step(typeof gamma === 'number' ? gamma : gamma(accepted), options);
  try {
    await decoder.begin(prompt, options);
    const steps = Array.from({length: 4}, (_, accepted) => stepOf(accepted));
    const {state} = decoder;
    for (let seed = 0; seed < draws; seed++) {
      state.set('last', prompt);
      state.set('position', [prompt.length - 1]);
      state.set('seed', [seed, 0]);
      for (let n = 0, accepted = 0; n < TOKENS;) {
        const [report] = await steps[accepted].run().read();
        const fresh = report.filter((token) => token >= 0);
        accepted = fresh.length - 1;
        for (const token of fresh) if (n < TOKENS) written[seed * TOKENS + n++] = token;
      }
    }
  } finally {
    decoder.dispose();
  }
  return written;
}

const cellOf = (draws: Uint8Array, seed: number): number =>
  (draws[seed * TOKENS] * LETTERS + draws[seed * TOKENS + 1]) * LETTERS + draws[seed * TOKENS + 2];

function countsOf(draws: Uint8Array): number[] {
  const counts = new Array<number>(LETTERS ** TOKENS).fill(0);
  for (let seed = 0; seed < draws.length / TOKENS; seed++) counts[cellOf(draws, seed)]++;
  return counts;
}

/** Distances of draws from a law, and the limits that chance exceeds once in 100,000 times. */
function distanceFrom(law: Float64Array, counts: number[]) {
  const {degreesOfFreedom, ...cells} = pooled(counts, law);
  const draws = counts.reduce((a, b) => a + b, 0);
  return {
    chiSquare: chiSquare(cells.counts, cells.probabilities),
    chiSquareLimit: chiSquareLimit(degreesOfFreedom),
    totalVariation: totalVariation(counts, law),
    totalVariationLimit: totalVariationLimit(draws, law),
  };
}

function expectLaw(law: Float64Array, draws: Uint8Array): void {
  const distance = distanceFrom(law, countsOf(draws));
  expect(distance.chiSquare, 'χ²').to.be.below(distance.chiSquareLimit);
  expect(distance.totalVariation, 'total variation').to.be.below(distance.totalVariationLimit);
}

/** Expects the letters at `place` in the answers to the seeds 2k and 2k + 1 to be independent. */
function expectIndependent(law: Float64Array, draws: Uint8Array, place: number): void {
  const letter = (cell: number) => Math.floor(cell / LETTERS ** (TOKENS - 1 - place)) % LETTERS;
  const marginal = new Float64Array(LETTERS);
  law.forEach((p, cell) => (marginal[letter(cell)] += p));
  const counts = new Array<number>(LETTERS ** 2).fill(0);
  for (let at = place; at + TOKENS < draws.length; at += 2 * TOKENS)
    counts[draws[at] * LETTERS + draws[at + TOKENS]]++;
  const pairs = counts.map((_, i) => marginal[Math.floor(i / LETTERS)] * marginal[i % LETTERS]);
  const {degreesOfFreedom, ...cells} = pooled(counts, pairs);
  expect(chiSquare(cells.counts, cells.probabilities), `letter ${place}`).to.be.below(
    chiSquareLimit(degreesOfFreedom),
  );
}

type Inputs = [block: tf.Tensor1D, draft: tf.Tensor2D, verifier: tf.Tensor2D, ...rest: tf.Tensor[]];

/** Wrong acceptance rules, made by giving SpeculativeAccept other distributions than the draft's and the verifier's. */
const WRONG_RULES: Record<string, (inputs: Inputs) => Inputs> = {
  'the ratio upside down': ([block, draft, verifier, ...rest]) => {
    const rows = draft.shape[0];
    return [
      block,
      tf.slice2d(verifier, [0, 0], draft.shape),
      tf.concat2d([draft, tf.slice2d(verifier, [rows, 0], [1, LETTERS])], 0),
      ...rest,
    ];
  },
  // The draft keeps only the probability of the drafted token: the same tokens are accepted, but little is subtracted from the verifier.
  'a draw from the verifier in place of the difference': ([block, draft, ...rest]) => {
    const drafted = tf.oneHot(tf.slice1d(block, 1, draft.shape[0]), LETTERS);
    return [block, tf.mul(draft, tf.cast(drafted, 'float32')), ...rest];
  },
  'everything accepted that the verifier can write': ([block, draft, ...rest]) => [
    block,
    tf.sub(draft, draft),
    ...rest,
  ],
};

/** Runs `body` while `rule` changes the inputs of SpeculativeAccept. */
async function withRule<T>(rule: (inputs: Inputs) => Inputs, body: () => Promise<T>): Promise<T> {
  const [kernelName, backendName] = ['SpeculativeAccept', tf.getBackend()];
  const right = tf.getKernel(kernelName, backendName);
  tf.unregisterKernel(kernelName, backendName);
  tf.registerKernel({
    ...{kernelName, backendName},
    kernelFunc: ({inputs, ...rest}) =>
      tf.tidy(() => right.kernelFunc({...rest, inputs: rule(inputs as unknown as Inputs) as never}) as never),
  });
  try {
    return await body();
  } finally {
    tf.unregisterKernel(kernelName, backendName);
    tf.registerKernel(right);
  }
}

for (const [what, {distance, gamma}] of Object.entries(PAIRS)) {
  onBackend('specattn', `three tokens of ${what}`, () => {
    const withPair = (body: (lm: LanguageModel, law: Float64Array) => Promise<void>) =>
      withModel({...letterPair({letters: LETTERS, layers: 1, distance}), contextLength: 16}, (lm) =>
        body(lm, exactLaw(lm)),
      );

    it(`are distributed as the verifier's own: ${DRAWS} draws`, function () {
      this.timeout(300_000);
      return withPair(async (lm, law) => {
        expect(law.reduce((a, b) => a + b, 0)).to.be.closeTo(1, 1e-12);
        const draws = await drawn(lm, gamma, DRAWS);
        expectLaw(law, draws);
        for (let place = 0; place < TOKENS; place++) expectIndependent(law, draws, place);
        if (typeof gamma !== 'number') return;
        // `generate` writes the same tokens.
        for (let seed = 0; seed < 200; seed++) {
          const {tokens} = await lm.generate(PROMPT, {
            ...{verification: 'dense', gamma, seed, maxNewTokens: TOKENS, ...FILTERS},
          });
          expect(tokens).to.deep.equal([...draws.subarray(seed * TOKENS, (seed + 1) * TOKENS)]);
        }
      });
    });

    for (const [mistake, rule] of Object.entries(WRONG_RULES)) {
      it(`would not be with ${mistake}`, function () {
        this.timeout(300_000);
        return withPair(async (lm, law) => {
          const draws = await withRule(rule, () => drawn(lm, gamma, DRAWS / 10));
          const distance = distanceFrom(law, countsOf(draws));
          expect(distance.chiSquare, 'χ²').to.be.above(distance.chiSquareLimit);
          expect(distance.totalVariation, 'total variation').to.be.above(distance.totalVariationLimit);
        });
      });
    }
  });
}

onBackend('specattn', 'three tokens of plain sampling', () => {
  it(`are distributed as the verifier's own: ${DRAWS} draws`, function () {
    this.timeout(300_000);
    return withModel(
      {...letterPair({letters: LETTERS, layers: 1, distance: 2}), contextLength: 16},
      async (lm) => {
        const law = exactLaw(lm);
        const possible = law.filter((p) => p > 0).length;
        expect(possible, 'triples that the filters leave').to.be.within(20, 0.8 * law.length);
        const draws = await drawn(lm, 0, DRAWS);
        expectLaw(law, draws);
        // χ² also detects a small error: a law in which one likely first letter is a tenth likelier.
        const first = (cell: number) => Math.floor(cell / LETTERS ** 2);
        const likely = first(law.indexOf(Math.max(...law)));
        const off = law.map((p, cell) => (first(cell) === likely ? 1.1 * p : p));
        const total = off.reduce((a, b) => a + b, 0);
        const counts = countsOf(draws);
        const distance = distanceFrom(
          off.map((p) => p / total),
          counts,
        );
        expect(distance.chiSquare, 'χ² of a law that is off').to.be.above(distance.chiSquareLimit);
      },
    );
  });
});

forEachBackend('a draft that is the verifier', (backend) => {
  it('has every token accepted', function () {
    this.timeout(120_000);
    return withModel({...letterPair({letters: LETTERS, distance: 0}), contextLength: 32}, async (lm) => {
      for (const sampling of [{}, {temperature: 1}, FILTERS, {...FILTERS, minP: 0.05}])
        for (const gamma of [1, 3, 8, 'adaptive'] as const)
          for (let seed = 0; seed < (backend === 'cpu' ? 1 : 10); seed++) {
            const {stats} = await lm.generate(PROMPT, {
              ...{verification: 'dense', gamma, seed, maxNewTokens: 20, ...sampling},
            });
            expect(stats.drafted).to.be.greaterThan(0);
            expect(stats.accepted, JSON.stringify({gamma, seed, ...sampling})).to.equal(stats.drafted);
          }
    });
  });
});

/** Tests of rolling back, which only sets the position: the rows that rejected tokens left in the caches are never read. */
import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import * as fc from 'fast-check';

import type {Llama} from '../../models/llama/llama.js';
import {kvCacheAppend} from '../../ops/index.js';
import type {LanguageModel} from '../../src/language_model.js';
import {resolveOptions} from '../../src/options.js';
import {Decoder} from '../decoding/decoder.js';
import {SAME_BITS_ROWS, forEachBackend, isNative, onBackend} from '../backends.js';
import {expectClose, expectSame} from '../compare.js';
import {withModel} from '../decoding/models.js';
import {letterPair} from './letters.js';

const LETTERS = 8;
const letter = fc.nat(LETTERS - 1);
/** Short enough that a row has the same bits in any block, even that of the whole sequence, on every device. */
const CONTEXT = SAME_BITS_ROWS;

/** Rows 0 … rows − 1 of the caches. */
const cachedRows = (caches: tf.Tensor[], rows: number): Float32Array[] =>
  caches.map((cache) =>
    tf.tidy(() => {
      const [kvHeads, , size] = cache.shape;
      return tf.slice(cache, [0, 0, 0], [kvHeads, rows, size]).dataSync() as Float32Array;
    }),
  );

/** The last token's logits, and the caches, of a sequence that is computed in one pass. */
function whole(model: Llama, sequence: number[]): {logits: Float32Array; cache: Float32Array[]} {
  const {lastLogits, cache} = model.forward({
    tokens: tf.tensor1d(sequence, 'int32'),
    position: tf.tensor1d([0], 'int32'),
    cache: model.newCache(CONTEXT),
    outputs: ['lastLogits'],
  });
  return {logits: lastLogits!.dataSync() as Float32Array, cache: cachedRows(cache, sequence.length)};
}

interface Round {
  drafted: number[];
  /** largest number of drafted tokens that are accepted */
  accepted: number;
  /** the token that follows the accepted ones */
  next: number;
}

const rounds = fc.array(
  fc.record<Round>({
    drafted: fc.array(letter, {minLength: 1, maxLength: 6}),
    accepted: fc.nat(6),
    next: letter,
  }),
  {minLength: 1, maxLength: 5},
);

/** Runs the rounds `given` like the decoding loop. `spoil` may fill the free rows of the caches before each round. */
function decoded(
  model: Llama,
  prompt: number[],
  given: Round[],
  spoil: (cache: tf.Tensor3D[], position: number) => tf.Tensor3D[],
): {sequence: number[]; logits: Float32Array; cache: Float32Array[]} {
  const sequence = [...prompt];
  let cache = model.newCache(CONTEXT);
  let logits: tf.Tensor2D | undefined;
  const take = (tokens: number[], position: number) => {
    cache = spoil(cache, position);
    ({cache, lastLogits: logits} = model.forward({
      tokens: tf.tensor1d(tokens, 'int32'),
      position: tf.tensor1d([position], 'int32'),
      cache,
      outputs: ['lastLogits'],
    }));
  };
  if (prompt.length > 1) take(prompt.slice(0, -1), 0);
  for (const {drafted, accepted, next} of given) {
    const position = sequence.length - 1;
    const block = drafted.slice(0, CONTEXT - 1 - sequence.length);
    if (block.length === 0) break;
    take([sequence[position], ...block], position);
    sequence.push(...block.slice(0, accepted), next);
  }
  take(sequence.slice(-1), sequence.length - 1);
  return {sequence, logits: logits!.dataSync() as Float32Array, cache: cachedRows(cache, sequence.length)};
}

forEachBackend('a sequence that was decoded in rounds', (backend) => {
  const SPOILERS: Record<string, (cache: tf.Tensor3D[], position: number) => tf.Tensor3D[]> = {
    'with the rows of rejected tokens': (cache) => cache,
    // Even with a weight of 0 a NaN spoils a sum, so these rows must not be read at all.
    'with NaN in every free row': (cache, position) =>
      cache.map((rows) => {
        const [kvHeads, capacity, size] = rows.shape;
        const spoilt = tf.fill<tf.Rank.R3>([capacity - position, kvHeads, size], NaN);
        return kvCacheAppend(rows, spoilt, tf.tensor1d([position], 'int32'));
      }),
  };
  for (const [what, spoil] of Object.entries(SPOILERS)) {
    it(`equals the sequence computed in one pass, ${what}`, function () {
      this.timeout(120_000);
      return withModel(letterPair({letters: LETTERS, distance: 1}), async ({verifier}) => {
        const equal = isNative(backend)
          ? expectSame
          : (actual: Float32Array, expected: Float32Array) =>
              expectClose(actual, expected, {relative: 1e-4, absolute: 1e-5});
        fc.assert(
          fc.property(fc.array(letter, {minLength: 1, maxLength: 8}), rounds, (prompt, given) => {
            tf.tidy(() => {
              const {sequence, logits, cache} = decoded(verifier, prompt, given, spoil);
              const expected = whole(verifier, sequence);
              cache.forEach((values, i) => equal(values, expected.cache[i]));
              equal(logits, expected.logits);
            });
          }),
          {numRuns: isNative(backend) ? 100 : 8},
        );
      });
    });
  }
});

onBackend('specattn', 'a sequence after any rounds', () => {
  const newDecoder = (lm: LanguageModel) => new Decoder(lm, CONTEXT);

  it("holds both models' keys and values of its tokens, and continues like a new sequence", function () {
    this.timeout(120_000);
    return withModel(letterPair({letters: LETTERS, distance: 0.6}), async (lm) => {
      const accepted: number[] = [];
      await fc.assert(
        fc.asyncProperty(
          fc.array(letter, {minLength: 2, maxLength: 6}),
          fc.array(fc.integer({min: 1, max: 6}), {minLength: 1, maxLength: 6}),
          fc.nat(),
          fc.constantFrom(0, 0.7, 1.5),
          async (prompt, gammas, seed, temperature) => {
            const options = resolveOptions({verification: 'dense', seed, temperature});
            const [resumed, fresh] = [newDecoder(lm), newDecoder(lm)];
            const round = async (decoder: Decoder, gamma: number) =>
              (await decoder.round(gamma, options)).tokens;
            try {
              await resumed.begin(prompt, options);
              const sequence = [...prompt];
              for (const gamma of gammas) {
                if (sequence.length + gamma > CONTEXT - 4) break;
                const tokens = await round(resumed, gamma);
                accepted.push((tokens.length - 1) / gamma);
                sequence.push(...tokens);
              }
              // No cache holds the last token yet, and the draft's cache may lack the token before it.
              const {verifierCache, draftCache} = resumed.state.tensors;
              tf.tidy(() => {
                const rows = sequence.length - 1;
                const verifier = whole(lm.verifier, sequence.slice(0, rows));
                const draft = whole(lm.draft!, sequence.slice(0, rows - 1));
                const held = [...cachedRows(verifierCache, rows), ...cachedRows(draftCache, rows - 1)];
                held.forEach((values, i) => expectSame(values, [...verifier.cache, ...draft.cache][i]));
              });
              await fresh.begin(sequence, options);
              for (const gamma of [1, 2])
                expect(await round(resumed, gamma)).to.deep.equal(await round(fresh, gamma));
            } finally {
              resumed.dispose();
              fresh.dispose();
            }
          },
        ),
        {numRuns: 40},
      );
      expect(accepted, 'rounds of which everything was accepted').to.include(1);
      expect(accepted, 'rounds of which nothing was').to.include(0);
    });
  });
});

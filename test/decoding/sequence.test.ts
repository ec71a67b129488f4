import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';

import type {LanguageModel} from '../../src/language_model.js';
import {resolveOptions} from '../../src/options.js';
import type {Sequence} from '../../src/decoding/sequence.js';
import {onBackend} from '../backends.js';
import {expectSame} from '../compare.js';
import {Decoder} from './decoder.js';
import {passage, withModel} from './models.js';

/** Runs `body` with a new decoder. */
async function withDecoder(lm: LanguageModel, body: (decoder: Decoder) => Promise<void>): Promise<void> {
  const decoder = new Decoder(lm, 512);
  try {
    await body(decoder);
  } finally {
    decoder.dispose();
  }
}

/**
 * The verifier's keys and values of all tokens but the last. The prompt is read as `generate` reads it, and the rest is decoded densely,
 * token by token.
 */
async function decoded(lm: LanguageModel, prompt: number[], tokens: number[]): Promise<Float32Array[]> {
  let caches: Float32Array[] = [];
  await withDecoder(lm, async (decoder) => {
    const {sequence} = decoder;
    await decoder.begin(prompt, resolveOptions({verification: 'dense', seed: 1}), false);
    for (let at = prompt.length - 1; at < tokens.length - 1; at++) sequence.refresh([tokens[at]], at);
    caches = cachedRows(sequence, tokens.length - 1);
  });
  return caches;
}

/** Rows 0 … rows − 1 of the verifier's caches, layer by layer. */
function cachedRows({state}: Sequence, rows: number): Float32Array[] {
  return state.tensors.verifierCache.map((cache) => {
    const [kvHeads, , size] = cache.shape;
    return tf.tidy(() => tf.slice(cache, [0, 0, 0], [kvHeads, rows, size]).dataSync() as Float32Array);
  });
}

onBackend('specattn', 'Sequence', () => {
  it('refreshes the keys and values of sparse rounds to those of dense decoding', () =>
    withModel({}, async (lm) => {
      const prompt = lm.tokenizer.encode(passage(1).slice(0, 900));
      const tokens = [...prompt];
      const options = resolveOptions({p: 0.3, recent: 0, sinks: 1, denseLayers: 0, seed: 1});
      await withDecoder(lm, async (sparse) => {
        await sparse.begin(tokens, options);
        for (let round = 0; round < 3; round++) tokens.push(...(await sparse.round(3, options)).tokens);
        const rows = tokens.length - 1;
        const dense = await decoded(lm, prompt, tokens);
        const before = cachedRows(sparse.sequence, rows);
        expect(before.some((values, i) => values.some((x, n) => x !== dense[i][n]))).to.equal(true);
        sparse.sequence.refresh(tokens.slice(prompt.length - 1, -1), prompt.length - 1);
        cachedRows(sparse.sequence, rows).forEach((values, i) => expectSame(values, dense[i]));
      });
    }));

  for (const refreshEvery of [1, 3]) {
    it(`refreshes every row, every ${refreshEvery} rounds`, () =>
      withModel({contextLength: 512}, async (lm) => {
        const text = passage(1).slice(0, 900);
        const options = {p: 0.3, recent: 0, sinks: 1, denseLayers: 0, gamma: 1, maxNewTokens: 24} as const;
        const {tokens} = await lm.generate(text, {...options, verification: 'refresh', refreshEvery});
        const prompt = lm.tokenizer.encode(text);
        // Leaves out the rounds since the last refresh, which wrote at most two tokens each. The last token has no row in the caches.
        const sequence = [...prompt, ...tokens.slice(0, -2 * refreshEvery)];
        const refreshed = cachedRows(lm['idle']!, sequence.length - 1);
        const dense = await decoded(lm, prompt, sequence);
        refreshed.forEach((values, i) => expectSame(values, dense[i]));
      }));
  }

  it('is not refreshed if every layer is dense', () =>
    withModel({contextLength: 512}, async (lm) => {
      const options = {gamma: 2, maxNewTokens: 12, refreshEvery: 1, denseLayers: 8} as const;
      const refresh = await lm.generate(passage(1).slice(0, 900), {...options, verification: 'refresh'});
      const dense = await lm.generate(passage(1).slice(0, 900), {...options, verification: 'dense'});
      expect(refresh.tokens).to.deep.equal(dense.tokens);
      expect(refresh.stats.time.refresh).to.equal(0);
      expect(refresh.stats.bytesRead).to.deep.equal(dense.stats.bytesRead);
    }));

  it('keeps at most a fixed number of captures', () =>
    withModel({}, (lm) =>
      withDecoder(lm, async (decoder) => {
        const ways = Array.from({length: 28}, (_, i) =>
          resolveOptions(i % 2 ? {verification: 'dense'} : {verification: 'sparse', recent: i}),
        );
        await decoder.begin([0, 5, 6], ways[0]);
        const tensors: number[] = [];
        ways.forEach((options, i) => {
          decoder.step(i % 2 ? 1 + (i >> 1) : 1, options).run();
          tensors.push(tf.memory().numTensors);
        });
        // The limit is reached after 24 captures. Each later pair of captures replaces an older pair.
        expect(tensors[25]).to.equal(tensors[23]);
        expect(tensors[27]).to.equal(tensors[23]);
        // A capture that was dropped is recorded again.
        expect((await decoder.round(1, ways[0])).tokens[0]).to.be.within(0, 4095);
      }),
    ));

  it('has one capture for all settings of sampling and every p', () =>
    withModel({}, (lm) =>
      withDecoder(lm, async (decoder) => {
        const settings = [
          {},
          {temperature: 0.8, topK: 5},
          {topP: 0.4, temperature: 2},
          {p: 0.5},
          {minP: 0.1, p: 1},
        ];
        const steps = new Set<unknown>();
        for (const given of settings) {
          const options = resolveOptions({...given, seed: 3, gamma: 2});
          await decoder.begin(lm.tokenizer.encode(passage(1).slice(0, 200)), options);
          steps.add(decoder.step(2, options));
          const {tokens} = await decoder.round(2, options);
          await withDecoder(lm, async (fresh) => {
            await fresh.begin(lm.tokenizer.encode(passage(1).slice(0, 200)), options);
            expect((await fresh.round(2, options)).tokens).to.deep.equal(tokens);
          });
        }
        expect(steps.size).to.equal(1);
      }),
    ));
});

import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';

import type {LanguageModel} from '../../src/language_model.js';
import {resolveOptions} from '../../src/options.js';
import {CACHES} from '../../src/decoding/round.js';
import {Session} from '../../src/decoding/session.js';
import {onBackend} from '../backends.js';
import {expectSame} from '../compare.js';
import {passage, withModel} from './models.js';

const noPause = () => Promise.resolve();

/** Runs `body` with a session of its own. */
async function withSession(lm: LanguageModel, body: (session: Session) => Promise<void>): Promise<void> {
  const {draft, verifier, layerMap} = lm;
  const session = new Session({draft, verifier, layerMap, contextLength: 512});
  try {
    await body(session);
  } finally {
    session.dispose();
  }
}

/**
 * The verifier's keys and values of a sequence up to its last token, of which the prompt is read as every session reads it, and the rest
 * is decoded token by token.
 */
async function decoded(lm: LanguageModel, prompt: number[], sequence: number[]): Promise<Float32Array[]> {
  let caches: Float32Array[] = [];
  await withSession(lm, async (session) => {
    await session.prefill(prompt, 1, false, noPause);
    for (let at = prompt.length - 1; at < sequence.length - 1; at++) session.refresh([sequence[at]], at);
    caches = cachedRows(session, sequence.length - 1);
  });
  return caches;
}

/** Rows 0 … rows - 1 of the verifier's keys and values, layer by layer. */
function cachedRows(session: Session, rows: number): Float32Array[] {
  return session['state'].tensors.slice(CACHES, CACHES + session['verifierCaches']).map((cache) => {
    const [groups, , size] = cache.shape;
    return tf.tidy(() => tf.slice(cache, [0, 0, 0], [groups, rows, size]).dataSync() as Float32Array);
  });
}

onBackend('specattn', 'Session', () => {
  it('refreshes the keys and values that sparse rounds left, to what dense decoding gives', () =>
    withModel({}, async (lm) => {
      const prompt = lm.tokenizer.encode(passage(1).slice(0, 900));
      const sequence = [...prompt];
      const options = resolveOptions({p: 0.3, recent: 0, sinks: 1, denseLayers: 0, seed: 1});
      await withSession(lm, async (sparse) => {
        await sparse.prefill(sequence, options.seed, true, noPause);
        for (let round = 0; round < 3; round++) {
          const [report] = await sparse.speculative(3, options).steps.run().read();
          sequence.push(...[...report.subarray(0, 4)].filter((token) => token >= 0));
        }
        const rows = sequence.length - 1;
        const dense = await decoded(lm, prompt, sequence);
        const before = cachedRows(sparse, rows);
        expect(before.some((values, i) => values.some((x, n) => x !== dense[i][n]))).to.equal(true);
        sparse.refresh(sequence.slice(prompt.length - 1, -1), prompt.length - 1);
        cachedRows(sparse, rows).forEach((values, i) => expectSame(values, dense[i]));
      });
    }));

  for (const refreshEvery of [1, 3]) {
    it(`is refreshed row by row, all of them, every ${refreshEvery} rounds`, () =>
      withModel({contextLength: 512}, async (lm) => {
        const text = passage(1).slice(0, 900);
        const options = {p: 0.3, recent: 0, sinks: 1, denseLayers: 0, gamma: 1, maxNewTokens: 24} as const;
        const {tokens} = await lm.generate(text, {...options, verification: 'refresh', refreshEvery});
        const prompt = lm.tokenizer.encode(text);
        // All rows but those of the rounds since the last refresh, of two tokens at most, and the last token, which has none.
        const sequence = [...prompt, ...tokens.slice(0, -2 * refreshEvery)];
        const refreshed = cachedRows(lm['idle']!, sequence.length - 1);
        const dense = await decoded(lm, prompt, sequence);
        refreshed.forEach((values, i) => expectSame(values, dense[i]));
      }));
  }

  it('is not refreshed where no layer reads sparsely', () =>
    withModel({contextLength: 512}, async (lm) => {
      const options = {gamma: 2, maxNewTokens: 12, refreshEvery: 1, denseLayers: 8} as const;
      const refresh = await lm.generate(passage(1).slice(0, 900), {...options, verification: 'refresh'});
      const dense = await lm.generate(passage(1).slice(0, 900), {...options, verification: 'dense'});
      expect(refresh.tokens).to.deep.equal(dense.tokens);
      expect(refresh.stats.time.refresh).to.equal(0);
      expect(refresh.stats.bytesRead).to.deep.equal(dense.stats.bytesRead);
    }));

  it('keeps no more than a fixed number of recordings', () =>
    withModel({}, (lm) =>
      withSession(lm, async (session) => {
        await session.prefill([0, 5, 6], 1, true, noPause);
        const tensors: number[] = [];
        for (let topK = 1; topK <= 28; topK++) {
          session
            .speculative(1, resolveOptions({verification: topK % 2 ? 'dense' : 'sparse', topK}))
            .steps.run();
          tensors.push(tf.memory().numTensors);
        }
        // Full after 24; each pair of recordings after that takes the place of another pair.
        expect(tensors[25]).to.equal(tensors[23]);
        expect(tensors[27]).to.equal(tensors[23]);
        // What was dropped is made again.
        const {steps} = session.speculative(1, resolveOptions({verification: 'dense', topK: 1}));
        const [report] = await steps.run().read();
        expect(report[0]).to.be.within(0, 4095);
      }),
    ));
});

/**
 * On an asynchronous device the loop launches a round before it reads the report of the previous one. These tests check that the answers
 * are the same as on a synchronous device.
 */
import {expect} from 'chai';
import * as tf from '@tensorflow/tfjs-core';

import type {NativeDevice} from '../../backend/addon.js';
import type {SpecAttnBackend} from '../../backend/index.js';
import type {GenerateResult} from '../../src/decoding/generate.js';
import type {LanguageModel} from '../../src/language_model.js';
import type {GenerateOptions} from '../../src/options.js';
import {onBackend} from '../backends.js';
import {PRETRAINED, linkModel, memory, replaceFile, tinyPair, withModel} from './models.js';

const PROMPT = 'The captain looked at the sea and';
const SAMPLED = {temperature: 0.9, topK: 50, seed: 11};
const WAYS: Record<string, GenerateOptions> = {
  plain: {draft: false},
  'plain, sampled': {draft: false, ...SAMPLED},
  dense: {verification: 'dense', gamma: 4},
  'dense, sampled': {verification: 'dense', gamma: 3, ...SAMPLED},
  'adaptive, sampled': {verification: 'dense', gamma: 'adaptive', ...SAMPLED},
  sparse: {p: 0.6, recent: 2, denseLayers: 0, gamma: 2},
  'sparse, adaptive, sampled': {p: 0.6, recent: 2, denseLayers: 0, gamma: 'adaptive', ...SAMPLED},
  refresh: {verification: 'refresh', refreshEvery: 3, p: 0.4, recent: 0, denseLayers: 0, gamma: 2},
};

/** The loop's use of the device. */
interface Order {
  replays: number;
  /** the largest number of rounds that were launched and whose reports were not yet read */
  pending: number;
}

/** Runs `body` while the device claims to be asynchronous or not, and counts its replays and reads. */
async function inOrder<T>(asynchronous: boolean, body: () => Promise<T>): Promise<[T, Order]> {
  const {device} = tf.backend() as SpecAttnBackend;
  const open = device as {-readonly [K in keyof NativeDevice]: NativeDevice[K]};
  const original = {asynchronous: open.asynchronous, replay: open.replay, readOutput: open.readOutput};
  const order = {replays: 0, pending: 0};
  let reads = 0;
  open.asynchronous = asynchronous;
  open.replay = (capture) => {
    original.replay.call(device, capture);
    order.pending = Math.max(order.pending, ++order.replays - reads);
  };
  open.readOutput = (...args) => {
    original.readOutput.apply(device, args);
    reads++;
  };
  try {
    return [await body(), order];
  } finally {
    Object.assign(open, original);
  }
}

const counted = ({tokens, text, finishReason, stats}: GenerateResult) => {
  const {rounds, drafted, accepted, acceptedLengths, kvReduction, bytesRead} = stats;
  return {tokens, text, finishReason, rounds, drafted, accepted, acceptedLengths, kvReduction, bytesRead};
};

/** Expects the same answer from the synchronous and the asynchronous device; returns it and the use of the asynchronous device. */
async function both(lm: LanguageModel, options: () => GenerateOptions): Promise<[GenerateResult, Order]> {
  const generate = () => lm.generate(PROMPT, options());
  const [expected, plain] = await inOrder(false, generate);
  const [answer, order] = await inOrder(true, generate);
  expect(counted(answer)).to.deep.equal(counted(expected));
  expect(plain).to.deep.equal({replays: expected.stats.rounds, pending: Math.min(1, plain.replays)});
  expect(order.pending).to.be.at.most(2);
  expect(order.replays - answer.stats.rounds, 'rounds in vain').to.be.within(0, 1);
  return [answer, order];
}

for (const [what, way] of Object.entries(WAYS)) {
  onBackend('specattn', `rounds launched ahead, ${what}`, () => {
    it('write the same tokens, and are not launched past maxNewTokens', () =>
      withModel(tinyPair(), async (lm) => {
        for (const maxNewTokens of [0, 1, 2, 3, 5, 8, 13, 40]) {
          const [{tokens, stats}, order] = await both(lm, () => ({...way, maxNewTokens}));
          expect(tokens).to.have.lengthOf(maxNewTokens);
          expect(order.replays).to.equal(stats.rounds);
          if (maxNewTokens === 40) expect(order.pending, 'ahead').to.equal(2);
        }
      }));

    it('end with the context', async () => {
      for (const contextLength of [12, 13, 29])
        await withModel({...tinyPair(), contextLength}, async (lm) => {
          const [{finishReason, stats}, order] = await both(lm, () => ({...way, maxNewTokens: 100}));
          expect(finishReason).to.equal('length');
          expect(stats.promptTokens + stats.newTokens).to.equal(contextLength + 1);
          expect(order.replays).to.equal(stats.rounds);
        });
    });

    it('end at a stop text', () =>
      withModel({}, async (lm) => {
        const {text} = await lm.generate(PROMPT, {...way, maxNewTokens: 40});
        for (const [from, length] of [
          [0, 1],
          [11, 4],
          [25, 8],
        ]) {
          const stop = text.slice(from, from + length);
          const [answer] = await both(lm, () => ({...way, maxNewTokens: 40, stop}));
          expect(answer.finishReason).to.equal('stop');
        }
      }));

    it('end at an end token', async () => {
      const verifier = linkModel(`${PRETRAINED}/verifier`);
      let tokens: number[] = [];
      await withModel({}, async (lm) => {
        ({tokens} = await lm.generate(PROMPT, {...way, maxNewTokens: 16}));
      });
      for (const at of [0, 3, 8]) {
        replaceFile(verifier, 'generation_config.json', JSON.stringify({eos_token_id: [1, tokens[at]]}));
        await withModel({verifier, draft: 'pretrained'}, async (lm) => {
          const [{finishReason}] = await both(lm, () => ({...way, maxNewTokens: 40}));
          expect(finishReason).to.equal('eos');
        });
      }
    });

    it('leave no memory allocated if the signal or the listener ends the answer', () =>
      withModel(tinyPair(), async (lm) => {
        const [whole] = await both(lm, () => ({...way, maxNewTokens: 40}));
        const before = memory();
        const [aborted, order] = await both(lm, () => {
          const controller = new AbortController();
          let pieces = 0;
          const onText = () => {
            if (++pieces === 3) controller.abort();
          };
          return {...way, maxNewTokens: 40, signal: controller.signal, onText};
        });
        expect(aborted.finishReason).to.equal('aborted');
        expect(aborted.tokens).to.deep.equal(whole.tokens.slice(0, aborted.tokens.length));
        expect(order.replays, 'launched in vain').to.be.greaterThan(0);

        const failure = new Error('the listener failed');
        const [error] = await inOrder(true, () =>
          lm
            .generate(PROMPT, {
              ...way,
              maxNewTokens: 40,
              onText: () => {
                throw failure;
              },
            })
            .catch((reason: unknown) => reason),
        );
        expect(error).to.equal(failure);
        expect(memory()).to.deep.equal(before);
        const [again] = await both(lm, () => ({...way, maxNewTokens: 40}));
        expect(counted(again)).to.deep.equal(counted(whole));
      }));
  });
}

onBackend('specattn', 'rounds launched ahead', () => {
  it('of overlapping answers do not mix', () =>
    withModel(tinyPair(), async (lm) => {
      const all = Object.values(WAYS).map((way) => ({...way, maxNewTokens: 30}));
      const alone: number[][] = [];
      for (const way of all) alone.push((await lm.generate(PROMPT, way)).tokens);
      const [together] = await inOrder(true, () => Promise.all(all.map((way) => lm.generate(PROMPT, way))));
      expect(together.map(({tokens}) => tokens)).to.deep.equal(alone);
    }));

  it('write the same tokens after the sets of the attention history have changed, from an empty prompt', () =>
    withModel({}, async (lm) => {
      const write = (granularity: 'layer' | 'head') => lm.generate('', {granularity, maxNewTokens: 12});
      for (const granularity of ['layer', 'head', 'layer'] as const) {
        const [expected] = await inOrder(false, () => write(granularity));
        await write(granularity === 'layer' ? 'head' : 'layer');
        const [answer] = await inOrder(true, () => write(granularity));
        expect(counted(answer)).to.deep.equal(counted(expected));
      }
    }));

  it('are not launched before a refresh is done', () =>
    withModel(tinyPair(), async (lm) => {
      const [, order] = await both(lm, () => ({...WAYS.refresh, refreshEvery: 1, maxNewTokens: 30}));
      expect(order.pending).to.equal(1);
    }));
});

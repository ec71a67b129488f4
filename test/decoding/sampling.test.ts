import {expect} from 'chai';

import type {GenerateOptions} from '../../src/options.js';
import {forEachBackend, onBackend} from '../backends.js';
import {PRETRAINED, tinyPair, withModel} from './models.js';

const PROMPT = 'The captain looked at the sea and';

forEachBackend('sampling with a tiny pair', (backend) => {
  const WAYS: Record<string, GenerateOptions> = {
    'plain decoding': {draft: false},
    'dense speculation': {verification: 'dense', gamma: 2},
    'sparse verification': {verification: 'sparse', gamma: 2, denseLayers: 0, p: 0.7},
  };
  for (const [what, way] of Object.entries(WAYS)) {
    it(`repeats a text by its seed: ${what}`, () =>
      withModel(tinyPair(), async (lm) => {
        const maxNewTokens = backend === 'cpu' ? 6 : 16;
        const write = async (options: GenerateOptions) =>
          (await lm.generate('It was', {maxNewTokens, temperature: 1, ...way, ...options})).tokens;
        const first = await write({seed: 1});
        expect(await write({seed: 1})).to.deep.equal(first);
        for (const seed of [0, 2, 1 + 2 ** 32, Number.MAX_SAFE_INTEGER])
          expect(await write({seed}), `seed ${seed}`).not.to.deep.equal(first);
        expect(await write({}), 'a seed of its own').not.to.deep.equal(await write({}));
      }));
  }

  it('writes the likeliest token if the filters leave only one', () =>
    withModel(tinyPair(), async (lm) => {
      const write = async (options: GenerateOptions) =>
        (await lm.generate('It was', {maxNewTokens: 6, gamma: 2, verification: 'dense', seed: 4, ...options}))
          .tokens;
      const greedy = await write({});
      for (const filter of [{topK: 1}, {topP: 1e-6}, {minP: 1}])
        expect(await write({temperature: 2, ...filter}), JSON.stringify(filter)).to.deep.equal(greedy);
      expect(await write({temperature: 2})).not.to.deep.equal(greedy);
    }));
});

onBackend('specattn', 'sampling with the embedded pair', () => {
  it('takes every filter at once', () =>
    withModel({}, async (lm) => {
      const options = {temperature: 0.8, topK: 40, topP: 0.95, minP: 0.02, seed: 9, maxNewTokens: 40};
      const first = await lm.generate(PROMPT, options);
      expect(await lm.generate(PROMPT, options)).to.include({text: first.text});
      expect(first.tokens.length).to.be.greaterThan(0);
      expect((await lm.generate(PROMPT, {...options, seed: 10})).text).not.to.equal(first.text);
    }));

  it('accepts every token if the draft is the verifier', async () => {
    const verifier = `${PRETRAINED}/verifier`;
    await withModel({draft: verifier, verifier}, async (lm) => {
      for (const sampling of [
        {},
        {temperature: 1, seed: 3},
        {temperature: 0.7, topK: 30, topP: 0.9, minP: 0.01, seed: 8},
      ]) {
        for (const gamma of [1, 4, 'adaptive'] as const) {
          const {stats} = await lm.generate(PROMPT, {
            maxNewTokens: 24,
            verification: 'dense',
            gamma,
            ...sampling,
          });
          expect(stats.drafted).to.be.greaterThan(0);
          expect(stats.accepted, JSON.stringify({gamma, ...sampling})).to.equal(stats.drafted);
        }
      }
    });
  });
});

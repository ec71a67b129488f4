/** Tests that speculative decoding writes the tokens of plain decoding, with dense verification and with every key selected. */
import {expect} from 'chai';

import type {LanguageModel} from '../../src/language_model.js';
import type {GenerateOptions} from '../../src/options.js';
import {forEachBackend, onBackend} from '../backends.js';
import {passage, tinyPair, withModel} from './models.js';

const UNIONS = ['row', 'causal', 'full'] as const;
const GRANULARITIES = ['layer', 'head'] as const;
/** Options with which sparse verification selects every key if p is 1: every union and granularity, in all layers or in some. */
const EVERY_KEY: GenerateOptions[] = [
  ...UNIONS.flatMap((union) =>
    GRANULARITIES.map((granularity) => ({union, granularity, denseLayers: 0, gamma: 4})),
  ),
  {granularity: 'layer', gamma: 'adaptive', sinks: 0, recent: 0},
  {verification: 'refresh', refreshEvery: 2, denseLayers: 0, gamma: 3},
  {verification: 'refresh', refreshEvery: 1, union: 'row', gamma: 'adaptive'},
];
const gammas = (most: number): (number | 'adaptive')[] => [
  ...Array.from({length: most}, (_, i) => i + 1),
  'adaptive' as const,
];

/** Expects the tokens of plain decoding with each of the options in `ways`. */
async function expectSameTokens(
  lm: LanguageModel,
  prompt: string,
  ways: GenerateOptions[],
  maxNewTokens: number,
) {
  const plain = await lm.generate(prompt, {maxNewTokens, draft: false});
  expect(plain.tokens).to.have.lengthOf(maxNewTokens);
  expect(plain.stats.drafted).to.equal(0);
  let accepted = 0;
  for (const way of ways) {
    const {tokens, text, stats} = await lm.generate(prompt, {maxNewTokens, ...way});
    expect(tokens, JSON.stringify(way)).to.deep.equal(plain.tokens);
    expect(text).to.equal(plain.text);
    expect(stats.drafted, 'drafted').to.be.greaterThan(0);
    expect(stats.kvReduction, JSON.stringify(way)).to.equal(0);
    accepted += stats.accepted;
  }
  return {accepted, plain};
}

onBackend('specattn', 'greedy decoding with the embedded pair', () => {
  const prompts = {
    'the beginning-of-text token alone': '',
    'a few words': 'The captain looked at the sea and',
    'more tokens than a prefill chunk': passage(1).slice(0, 1500),
    'letters outside ASCII': 'Le café, naïve — “où?” 日本',
  };
  for (const [what, prompt] of Object.entries(prompts)) {
    it(`is the same with dense speculation, whatever gamma: ${what}`, () =>
      withModel({}, async (lm) => {
        const ways = gammas(8).map((gamma) => ({verification: 'dense' as const, gamma}));
        const {accepted} = await expectSameTokens(lm, prompt, ways, 20);
        expect(accepted, 'accepted').to.be.greaterThan(0);
      }));

    it(`is the same with every key selected: ${what}`, () =>
      withModel({}, async (lm) => {
        await expectSameTokens(
          lm,
          prompt,
          EVERY_KEY.map((way) => ({p: 1, ...way})),
          16,
        );
      }));
  }
});

forEachBackend('greedy decoding with a tiny pair', (backend) => {
  it('is the same with dense speculation and with every key selected', () =>
    withModel(tinyPair(), async (lm) => {
      const ways = [
        ...gammas(backend === 'cpu' ? 3 : 16).map((gamma) => ({verification: 'dense' as const, gamma})),
        ...EVERY_KEY.map((way) => ({p: 1, ...way})),
      ];
      const {accepted} = await expectSameTokens(lm, 'Once upon a time', ways, 12);
      expect(accepted, 'accepted').to.be.greaterThan(0);
    }));
});

describe('generate', () => {
  const answers: number[][][] = [];
  forEachBackend('on a tiny pair', () => {
    it('gives the same tokens as on the other backends', () =>
      withModel(tinyPair(), async (lm) => {
        const ways: GenerateOptions[] = [
          {draft: false},
          {gamma: 3, p: 0.5, denseLayers: 0, recent: 2, sinks: 1},
          {gamma: 2, p: 0.5, denseLayers: 1, recent: 1, granularity: 'head', union: 'row'},
          {verification: 'refresh', refreshEvery: 2, p: 0.3, gamma: 2, denseLayers: 0, recent: 0},
          {verification: 'dense', temperature: 0.8, topK: 40, topP: 0.9, seed: 5, gamma: 3},
        ];
        const tokens: number[][] = [];
        for (const way of ways)
          tokens.push((await lm.generate('It was a dark night', {maxNewTokens: 10, ...way})).tokens);
        answers.push(tokens);
        expect(answers.every((answer) => answer.every((list) => list.length === 10))).to.equal(true);
        expect(tokens).to.deep.equal(answers[0]);
      }));
  });
});

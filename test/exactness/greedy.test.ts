/** Tests that greedy speculative decoding writes the tokens of plain decoding, with 100 prompts on every backend. */
import {expect} from 'chai';

import type {GenerateResult} from '../../src/decoding/generate.js';
import type {LanguageModel} from '../../src/language_model.js';
import type {GenerateOptions} from '../../src/options.js';
import {forEachBackend, type BackendName} from '../backends.js';
import {random} from '../backend/kernels.js';
import {withModel} from '../decoding/models.js';
import {letterPair, lettersOf, type Letters} from './letters.js';

const LETTERS = 12;
const PAIR: Letters = {letters: LETTERS, layers: 1, distance: 0.1};

/** Prompts of 1 to 20 letters, the same in every run. */
const PROMPTS = Array.from({length: 100}, (_, i) => {
  const next = random(i + 1);
  const length = 1 + Math.floor(20 * next());
  return lettersOf(Array.from({length}, () => Math.floor(LETTERS * next())));
});

const GAMMAS = [1, 2, 3, 4, 5, 6, 7, 8, 'adaptive'] as const;
const DENSE: GenerateOptions[] = GAMMAS.map((gamma) => ({verification: 'dense', gamma}));
/** Sparse verification with every key selected. A refresh must then change nothing. */
const EVERY_KEY: GenerateOptions[] = [
  {verification: 'sparse', p: 1, denseLayers: 0, gamma: 'adaptive'},
  {verification: 'refresh', p: 1, denseLayers: 0, gamma: 3, refreshEvery: 1},
  {verification: 'refresh', p: 1, denseLayers: 1, gamma: 'adaptive', refreshEvery: 2, granularity: 'head'},
];

/** The options for prompt `i`: all of `ways`, or on slower backends one of them in turn. */
function waysOf(ways: GenerateOptions[], i: number, backend: BackendName): GenerateOptions[] {
  return backend === 'specattn' ? ways : [ways[i % ways.length]];
}

const newTokens = (backend: BackendName): number => (backend === 'cpu' ? 6 : 16);

/** Expects the tokens and the end of plain decoding for every prompt with `ways`. Returns the results of `ways`. */
async function expectPlain(
  lm: LanguageModel,
  ways: GenerateOptions[],
  backend: BackendName,
): Promise<GenerateResult[]> {
  const maxNewTokens = newTokens(backend);
  const results: GenerateResult[] = [];
  for (const [i, prompt] of PROMPTS.entries()) {
    const plain = await lm.generate(prompt, {maxNewTokens, draft: false});
    for (const way of waysOf(ways, i, backend)) {
      const result = await lm.generate(prompt, {maxNewTokens, ...way});
      const what = `'${prompt}' ${JSON.stringify(way)}`;
      expect(result.tokens, what).to.deep.equal(plain.tokens);
      expect(result.finishReason, what).to.equal(plain.finishReason);
      results.push(result);
    }
  }
  return results;
}

const sum = (results: GenerateResult[], what: 'drafted' | 'accepted') =>
  results.reduce((total, {stats}) => total + stats[what], 0);

forEachBackend(`greedy decoding of ${PROMPTS.length} prompts`, (backend) => {
  it('is plain decoding, with gamma 1 to 8 and adaptive, dense, sparse with every key and refreshed', function () {
    this.timeout(300_000);
    return withModel(letterPair(PAIR), async (lm) => {
      const results = await expectPlain(lm, [...DENSE, ...EVERY_KEY], backend);
      // Some drafted tokens are accepted and some are not.
      expect(sum(results, 'accepted') / sum(results, 'drafted')).to.be.within(0.2, 0.9);
    });
  });

  it('ends where plain decoding does, also if an end token stands within a block', async function () {
    this.timeout(300_000);
    const end = await likelyEnd(backend);
    await withModel(letterPair({...PAIR, end}), async (lm) => {
      const results = await expectPlain(lm, DENSE, backend);
      // In these answers the last round accepted tokens after the end token, which were dropped.
      const inMidBlock = results.filter(
        ({finishReason, tokens, stats}) =>
          finishReason === 'eos' && stats.accepted + stats.rounds > tokens.length,
      );
      expect(inMidBlock.length, 'ends in mid-block').to.be.at.least(backend === 'specattn' ? 200 : 20);
    });
  });
});

/** The letter that occurs in most texts after their second letter at the earliest. */
async function likelyEnd(backend: BackendName): Promise<string> {
  const texts: string[] = [];
  await withModel(letterPair(PAIR), async (lm) => {
    for (const prompt of PROMPTS.slice(0, 20))
      texts.push((await lm.generate(prompt, {maxNewTokens: newTokens(backend), draft: false})).text);
  });
  const letters = [...lettersOf(Array.from({length: LETTERS}, (_, id) => id))];
  const late = (letter: string) => texts.filter((text) => text.indexOf(letter) > 1).length;
  return letters.sort((a, b) => late(b) - late(a))[0];
}

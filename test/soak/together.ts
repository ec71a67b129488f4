/** Checks answers that overlap in one thread, and listeners that throw. */
import {expect} from 'chai';

import {load, type GenerateOptions} from '../../src/index.js';
import type {LanguageModel} from '../../src/language_model.js';
import type {Checks} from './checks.js';
import {held} from './levels.js';

const PROMPTS = ['The captain looked at the sea and', 'It was a dark', ''];
const WAY: GenerateOptions = {maxNewTokens: 40, temperature: 0.8, seed: 7, gamma: 'adaptive'};

/** The tokens of these answers, written one after the other. */
async function oneByOne(asked: [LanguageModel, string][]): Promise<number[][]> {
  const tokens: number[][] = [];
  for (const [lm, prompt] of asked) tokens.push((await lm.generate(prompt, WAY)).tokens);
  return tokens;
}

/** The tokens of these answers, written at once. Every answer must have begun before any has ended. */
async function atOnce(asked: [LanguageModel, string][]): Promise<number[][]> {
  const begun = new Set<number>();
  const begunAtFirstEnd: number[] = [];
  const answers = asked.map(async ([lm, prompt], i) => {
    const {tokens} = await lm.generate(prompt, {...WAY, onText: () => void begun.add(i)});
    begunAtFirstEnd.push(begun.size);
    return tokens;
  });
  const tokens = await Promise.all(answers);
  expect(begunAtFirstEnd[0], 'answers that had begun when the first ended').to.equal(asked.length);
  return tokens;
}

export async function soakTogether(checks: Checks, backend: string): Promise<void> {
  const nothing = held();
  await checks.run('three answers at once on one model are what they are alone', async () => {
    const lm = await load({backend, contextLength: 512});
    const asked = PROMPTS.map((prompt): [LanguageModel, string] => [lm, prompt]);
    const alone = await oneByOne(asked);
    for (let i = 0; i < 5; i++) expect(await atOnce(asked)).to.deep.equal(alone);
    lm.dispose();
    expect(held()).to.deep.equal(nothing);
  });

  await checks.run('answers at once on two models are what they are alone', async () => {
    const models = [
      await load({backend, contextLength: 512}),
      await load({backend, contextLength: 300, draft: null, dtype: 'float32'}),
    ];
    const asked = models.map((lm): [LanguageModel, string] => [lm, PROMPTS[0]]);
    const alone = await oneByOne(asked);
    for (let i = 0; i < 5; i++) expect(await atOnce(asked)).to.deep.equal(alone);
    models[0].dispose();
    expect(await oneByOne(asked.slice(1)), 'the other one, after the first was disposed of').to.deep.equal(
      alone.slice(1),
    );
    models[1].dispose();
    expect(held()).to.deep.equal(nothing);
  });

  await checks.run('what onText throws reaches the caller, and the model goes on', async () => {
    const lm = await load({backend, contextLength: 512});
    const asked: [LanguageModel, string][] = [[lm, PROMPTS[0]]];
    const alone = await oneByOne(asked);
    const before = held();
    for (let at = 1; at <= 5; at++) {
      const failure = new Error('the listener failed');
      let pieces = 0;
      const onText = () => {
        if (++pieces === at) throw failure;
      };
      const failed = lm.generate(PROMPTS[0], {...WAY, onText}).catch((error: unknown) => error);
      // An answer that runs meanwhile is not affected.
      const [error, meanwhile] = await Promise.all([failed, oneByOne(asked)]);
      expect(error).to.equal(failure);
      expect(meanwhile).to.deep.equal(alone);
    }
    expect(await oneByOne(asked)).to.deep.equal(alone);
    expect(held().numTensors, 'tensors').to.be.at.most(before.numTensors);
    lm.dispose();
    expect(held()).to.deep.equal(nothing);
  });
}

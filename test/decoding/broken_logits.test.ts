/** Logits that are not finite end an answer with an error that names the first layer whose output is not. */
import {expect} from 'chai';

import type {GenerateOptions} from '../../src/options.js';
import {forEachBackend} from '../backends.js';
import {letterPair, type Letters} from '../exactness/letters.js';
import {withModel} from './models.js';

const BASE = {letters: 6, distance: 0.5, layers: 3};
const PROMPT = 'abcdefabc';

/** Fills every weight whose name contains `name`, or its rows `from` to `to` - 1. */
const fill =
  (name: string, value: number, [from, to] = [0, Infinity]): NonNullable<Letters['change']> =>
  (weight, values, [rows, columns = 1]) => {
    if (weight.includes(name)) values.fill(value, from * columns, Math.min(to, rows) * columns);
  };

/** Ways to decode: each must tell. */
const WAYS: Record<string, GenerateOptions> = {
  'plain, greedy': {draft: false},
  'plain, sampled': {draft: false, temperature: 1, topK: 3},
  'dense, greedy': {verification: 'dense', gamma: 3},
  'dense, sampled': {verification: 'dense', temperature: 1, topP: 0.9},
  sparse: {p: 0.8, denseLayers: 1, gamma: 2},
  refresh: {verification: 'refresh', refreshEvery: 1, denseLayers: 0},
};

const message = (role: string, place: string) =>
  `[generate] the ${role}'s logits must be finite but are not: the first output that is not is that of ${place}` +
  ` (its weights are broken, or its numbers too large for their dtype${role === 'draft' ? '; draft: false decodes without it' : ''})`;

/** The error with N for the token's number where the place has it so. */
const like = (error: string, place: string) =>
  place.includes('token N') ? error.replace(/token \d+/, 'token N') : error;

/** What an answer throws; `none` if it throws nothing. */
async function thrown(answer: Promise<unknown>): Promise<string> {
  return answer.then(
    () => 'none',
    (error: Error) => error.message,
  );
}

forEachBackend('Logits that are not finite', () => {
  const cases: Record<string, {change: NonNullable<Letters['change']>; place: string}> = {
    'NaN in the last norm': {
      change: fill('model.norm.weight', NaN),
      place: 'the head, or of the norm before it, at token 0 of the sequence',
    },
    'NaN in the head': {
      change: fill('lm_head.weight', NaN),
      place: 'the head, or of the norm before it, at token 0 of the sequence',
    },
    'an MLP that overflows': {
      change: fill('layers.1.mlp', 1e30),
      place: 'layer 1, at token N of the sequence', // the first whose gates are open
    },
    'infinite weights of attention': {
      change: fill('layers.2.self_attn.o_proj', Infinity),
      place: 'layer 2, at token 0 of the sequence',
    },
    'a broken row of the embedding': {
      change: fill('embed_tokens', NaN, [2, 3]), // of c
      place: 'the embedding, at token 2 of the sequence',
    },
  };
  for (const [what, {change, place}] of Object.entries(cases)) {
    for (const [way, options] of Object.entries(WAYS)) {
      it(`are told of the verifier: ${what}; ${way}`, () =>
        withModel(letterPair({...BASE, change}, {change: undefined}), async (lm) => {
          for (const prompt of [PROMPT, PROMPT.repeat(4)]) {
            const error = await thrown(lm.generate(prompt, {seed: 1, ...options}));
            expect(like(error, place)).to.equal(message('verifier', place));
          }
        }));
    }

    for (const [way, options] of Object.entries(WAYS)) {
      if (options.draft === false) continue;
      it(`are told of the draft, which draft: false leaves out: ${what}; ${way}`, () =>
        withModel(letterPair(BASE, {change}), async (lm) => {
          const error = await thrown(lm.generate(PROMPT, {seed: 1, ...options}));
          expect(like(error, place)).to.equal(message('draft', place));
          const {tokens} = await lm.generate(PROMPT, {...options, draft: false, seed: 1, maxNewTokens: 20});
          expect(tokens.length).to.equal(20);
        }));
    }
  }

  it('are told where a token brings them in the middle of an answer; other answers go on', async () => {
    let expected: number[] = [];
    await withModel(letterPair(BASE), async (lm) => {
      expected = (await lm.generate('ab', {draft: false, maxNewTokens: 30})).tokens;
    });
    // The letter that the verifier writes first after the other ones.
    const at = expected.findIndex((token, i) => i > 1 && token > 1 && !expected.slice(0, i).includes(token));
    expect(at, 'place of a new letter').to.be.greaterThan(1);
    const letter = expected[at];
    const change = fill('embed_tokens', Infinity, [letter, letter + 1]);
    // NaN counts as −∞: the draft never proposes the letter, and so leaves it to the verifier.
    const ofDraft = {change: fill('lm_head', NaN, [letter, letter + 1])};
    await withModel(letterPair({...BASE, change}, ofDraft), async (lm) => {
      for (const options of [WAYS['plain, greedy'], WAYS['dense, greedy'], {...WAYS.sparse, p: 1}]) {
        const pieces: string[] = [];
        const error = await thrown(
          lm.generate('ab', {...options, maxNewTokens: 30, onText: (piece) => pieces.push(piece)}),
        );
        expect(error).to.equal(message('verifier', `the embedding, at token ${2 + at} of the sequence`));
        // A round whose logits broke is not shown.
        expect(expected.map((id) => 'abcdef'[id]).join('')).to.match(new RegExp(`^${pieces.join('')}`));
        expect(pieces.join('').length).to.be.within(0, at + 1);
        const {tokens} = await lm.generate('ab', {...options, draft: false, maxNewTokens: at});
        expect(tokens).to.deep.equal(expected.slice(0, at));
      }
    });
  });

  it('are told where the draft brought them', () =>
    withModel(
      letterPair({...BASE, change: fill('embed_tokens', NaN, [1, 6])}, {change: undefined}),
      async (lm) => {
        // The verifier's own answer has no letter but a, of which the draft knows nothing.
        const answer = lm.generate('aaa', {verification: 'dense', gamma: 4, temperature: 0.01, seed: 1});
        expect(await thrown(answer)).to.match(
          /^\[generate\] the verifier's logits must be finite but are not: /,
        );
      },
    ));

  it('are no error where a number is left to choose', () =>
    withModel(
      letterPair({...BASE, change: fill('lm_head.weight', NaN, [1, 6])}, {change: undefined}),
      async (lm) => {
        for (const options of Object.values(WAYS)) {
          const {tokens} = await lm.generate(PROMPT, {seed: 1, maxNewTokens: 5, ...options});
          expect(tokens).to.deep.equal([0, 0, 0, 0, 0]);
        }
      },
    ));
});

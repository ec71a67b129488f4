/** Fuzz target: prompts for a tiny random pair with the embedded tokenizer. */
import * as tf from '@tensorflow/tfjs-core';
import * as fc from 'fast-check';

import {BACKEND} from '../../../backend/index.js';
import type {LanguageModel} from '../../../src/language_model.js';
import {load} from '../../../src/load.js';
import type {GenerateOptions} from '../../../src/options.js';
import type {Target} from '../target.js';
import {pairFolders} from './folder.js';

const MEGABYTE = 2 ** 20;
const special = fc.constantFrom(
  '<|begin_of_text|>',
  '<|end_of_text|>',
  '<s>',
  '</s>',
  '<|',
  '<0x00>',
  '▁',
  'Ġ',
);
const unit = fc.oneof(
  special,
  fc.constantFrom(
    '\ud800',
    '\udfff',
    '\0',
    '\u202e',
    '\ufeff',
    '\ufffd',
    '\n',
    ' ',
    'é',
    '👩‍👩‍👧',
    'The captain ',
  ),
  fc.string({unit: 'binary', maxLength: 6}),
);

export const hostilePrompt: fc.Arbitrary<string> = fc.oneof(
  {weight: 1, arbitrary: fc.constant('')},
  {weight: 9, arbitrary: fc.array(unit, {maxLength: 30}).map((units) => units.join(''))},
  {weight: 2, arbitrary: fc.tuple(unit, fc.nat(2000)).map(([text, count]) => text.repeat(count))},
  {
    weight: 1,
    arbitrary: unit
      .filter((text) => text.length > 0)
      .map((text) => text.repeat(Math.ceil(MEGABYTE / text.length))),
  },
);

/** The tiny pair on the native backend, for targets that write text. */
export class CasePair {
  lm: LanguageModel | undefined;

  async open(): Promise<void> {
    await tf.setBackend(BACKEND);
    this.lm = await load({...pairFolders(), backend: BACKEND});
    // This makes the constants and captures that stay, so that the first case does not.
    await this.lm.generate('The', {maxNewTokens: 3, gamma: 2});
  }

  close(): void {
    this.lm?.dispose();
    this.lm = undefined;
  }
}

interface Input {
  prompt: unknown;
  options: GenerateOptions;
}

const pair = new CasePair();

export const prompts: Target<Input> = {
  name: 'prompts',
  share: 2,
  input: fc.record({
    prompt: fc.oneof(
      {weight: 20, arbitrary: hostilePrompt},
      {weight: 1, arbitrary: fc.constantFrom<unknown>(null, undefined, 7, {}, ['a'], Symbol('a'), 1n)},
    ),
    options: fc.record({
      maxNewTokens: fc.nat(3),
      verification: fc.constantFrom('dense', 'sparse', 'refresh'),
      gamma: fc.constant(2),
      temperature: fc.constantFrom(0, 1),
      seed: fc.constant(1),
    }),
  }),
  setUp: () => pair.open(),
  run: ({prompt, options}) => pair.lm!.generate(prompt as string, options),
  names: (message) => message.startsWith('[generate] prompt '),
  tearDown: () => pair.close(),
};

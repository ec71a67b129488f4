/** Chat templates: golden ones must give what Python's Jinja2 gives, and spoiled ones are rendered or refused by name. */
import * as fc from 'fast-check';

import {ChatTemplate, type ChatMessage} from '../../../models/hf/chat_template.js';
import {Fields} from '../../../models/hf/json_file.js';
import {
  CONVERSATIONS,
  FIXED,
  MADE_UP,
  MADE_UP_VARIABLES,
  MODELS,
  RENDERINGS,
  difference,
  rendering,
  templateOf,
  tokensOf,
  type Rendering,
} from '../../models/templates.js';
import {hostileText, spoiled, type HostileFile} from '../hostile.js';
import type {Target} from '../target.js';
import {CaseFolder} from './folder.js';

interface Spoiled {
  template: HostileFile;
  messages: ChatMessage[];
}
/** The number of a golden rendering, or a template that somebody spoiled. */
type Input = {golden: number} | Spoiled;

const folder = new CaseFolder();
const DIFFERS = 'a rendering differs from Jinja2: ';

function checkGolden(number: number): void {
  const golden: Rendering & {template: string; conversation?: number} = [...RENDERINGS, ...MADE_UP][number];
  const {template, conversation, ...expected} = golden;
  const got =
    conversation === undefined
      ? rendering(template, MADE_UP_VARIABLES)
      : rendering(templateOf(template), {
          ...FIXED,
          ...tokensOf(template),
          messages: CONVERSATIONS[conversation],
        });
  const differs = difference(got, expected);
  if (differs !== undefined) throw new Error(`${DIFFERS}${template}: ${differs}`);
}

function checkSpoiled({template, messages}: Spoiled): void {
  folder.write('chat_template.jinja', template.bytes);
  const config = new Fields(folder.file('tokenizer_config.json'), {
    bos_token: '<s>',
    eos_token: {content: '</s>'},
  });
  const text = ChatTemplate.read(folder.path, config)!.render(messages);
  if (typeof text !== 'string') throw new Error(`${DIFFERS}it is no text`);
}

const content = fc.oneof(
  hostileText,
  fc.array(fc.record({type: fc.constant('text' as const), text: hostileText}), {maxLength: 2}),
);
const message = fc.record({
  role: fc.oneof(fc.constantFrom('user', 'assistant', 'system', 'tool'), hostileText),
  content,
});
const sources = [...MODELS.map(templateOf), ...MADE_UP.map(({template}) => template)];

export const templates: Target<Input> = {
  name: 'templates',
  share: 10,
  input: fc.oneof(
    fc.record({golden: fc.nat(RENDERINGS.length + MADE_UP.length - 1)}),
    fc.record({
      template: fc.constantFrom(...sources).chain((source) => spoiled(new TextEncoder().encode(source))),
      messages: fc.array(message, {maxLength: 4}),
    }),
  ),
  run: (input) => ('golden' in input ? checkGolden(input.golden) : checkSpoiled(input)),
  names: (text) => {
    const file = folder.file('chat_template.jinja');
    return [`${file} does not take these messages: `, `${file}: must be a template in UTF-8: `].some(
      (start) => text.startsWith(start),
    );
  },
  tearDown: () => folder.remove(),
};

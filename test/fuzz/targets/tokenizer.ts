/** Fuzz target: tokenizer.json and tokenizer_config.json. Accepted ones encode and decode a text. */
import * as fc from 'fast-check';

import {LlamaTokenizer} from '../../../models/hf/tokenizer.js';
import {hostileJson, namesField, type HostileFile} from '../hostile.js';
import type {Target} from '../target.js';
import {CaseFolder} from './folder.js';
import {hostilePrompt} from './prompts.js';

const special = (id: number, content: string) => ({
  ...{id, content, special: true, normalized: false, lstrip: false, rstrip: false, single_word: false},
});
const template = {
  type: 'TemplateProcessing',
  single: [{SpecialToken: {id: '<s>', type_id: 0}}, {Sequence: {id: 'A', type_id: 0}}],
  pair: [],
  special_tokens: {'<s>': {id: '<s>', ids: [0], tokens: ['<s>']}},
};
/** Like the tokenizer of Llama 2: words begin with ▁, and bytes that no piece covers are tokens. */
const PIECES = {
  ...{added_tokens: [special(0, '<s>'), special(1, '</s>')], pre_tokenizer: null, post_processor: template},
  normalizer: {
    type: 'Sequence',
    normalizers: [
      {type: 'Prepend', prepend: '▁'},
      {type: 'Replace', pattern: {String: ' '}, content: '▁'},
    ],
  },
  decoder: {
    type: 'Sequence',
    decoders: [
      {type: 'Replace', pattern: {String: '▁'}, content: ' '},
      {type: 'ByteFallback'},
      {type: 'Fuse'},
      {type: 'Strip', content: ' ', start: 1, stop: 0},
    ],
  },
  model: {
    ...{type: 'BPE', byte_fallback: true, fuse_unk: true, unk_token: '<s>'},
    vocab: {'<s>': 0, '</s>': 1, '▁': 2, a: 3, b: 4, '▁a': 5, '<0x41>': 6},
    merges: ['▁ a'],
  },
};
/** Like the tokenizer of Llama 3: bytes are written as characters, and a regular expression cuts words. */
const BYTES = {
  ...{added_tokens: [special(0, '<s>'), special(1, '</s>')], normalizer: null, post_processor: template},
  pre_tokenizer: {
    type: 'Sequence',
    pretokenizers: [
      {type: 'Split', pattern: {Regex: '\\s+|\\w+'}, behavior: 'Isolated', invert: false},
      {type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false},
    ],
  },
  decoder: {type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true},
  model: {
    ...{type: 'BPE', unk_token: null, ignore_merges: true},
    vocab: {'<s>': 0, '</s>': 1, Ġ: 2, a: 3, b: 4, Ġa: 5},
    merges: [['Ġ', 'a']],
  },
};
const CONFIG = {
  ...{
    bos_token: {content: '<s>'},
    eos_token: '</s>',
    add_bos_token: true,
    clean_up_tokenization_spaces: false,
  },
  ...{additional_special_tokens: ['</s>'], model_max_length: 96, tokenizer_class: 'LlamaTokenizer'},
};

interface Input {
  tokenizer: HostileFile;
  config: HostileFile;
  text: string;
}

const asItIs = (json: object): HostileFile => ({bytes: Buffer.from(JSON.stringify(json)), changed: []});
const folder = new CaseFolder();
const {warn} = console;

export const tokenizer: Target<Input> = {
  name: 'tokenizer.json',
  share: 10,
  input: fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({
        tokenizer: fc.constantFrom(PIECES, BYTES).chain(hostileJson),
        config: fc.constant(asItIs(CONFIG)),
        text: hostilePrompt,
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        tokenizer: fc.constantFrom(PIECES, BYTES).map(asItIs),
        config: hostileJson(CONFIG),
        text: hostilePrompt,
      }),
    },
  ),
  run: (input) => {
    folder.write('tokenizer.json', input.tokenizer.bytes);
    folder.write('tokenizer_config.json', input.config.bytes);
    const made = LlamaTokenizer.load(folder.path);
    const ids = made.encode(input.text.slice(0, 2000));
    const stream = made.stream();
    stream.push(ids);
    stream.flush();
    made.decode(ids);
    made.vocabulary();
  },
  names: (message, input) =>
    namesField(message, folder.file('tokenizer.json'), {...input.tokenizer, changed: undefined}) ||
    namesField(message, folder.file('tokenizer_config.json'), input.config),
  // The library prints warnings about fields that it ignores.
  setUp: () => void (console.warn = () => undefined),
  tearDown: () => {
    console.warn = warn;
    folder.remove();
  },
};

/** Reads tokenizer.json and tokenizer_config.json, and checks what the tokenizer library leaves unchecked. */
import {existsSync} from 'node:fs';
import * as path from 'node:path';
import {Tokenizer} from '@huggingface/tokenizers';

import {whole} from '../../backend/check.js';
import {Fields} from './json_file.js';

/** Parts of tokenizer.json through which text passes, apart from the model. Each may be null. */
const PARTS = ['normalizer', 'pre_tokenizer', 'post_processor', 'decoder'] as const;
/** Ids are below this. The library makes a list as long as the largest id, so a hostile id could cost minutes. */
const MOST_TOKENS = 2 ** 24;
/** A text whose encoding and decoding use every part of a tokenizer. */
const PROBE = "It's 1 ☂.\n";

export interface TokenizerFiles {
  /** Path of tokenizer.json. */
  file: string;
  tokenizer: Tokenizer;
  /** Content of tokenizer_config.json and special_tokens_map.json; empty if there is neither. */
  config: Fields;
}

/**
 * Reads the tokenizer of the folder `dir`.
 * @throws Error naming the file, the field and what is wrong with it
 */
export function readTokenizer(dir: string): TokenizerFiles {
  const file = path.join(dir, 'tokenizer.json');
  const fields = Fields.read(file);
  const config = readConfig(dir);
  checkModel(fields);
  checkAddedTokens(fields);
  for (const name of PARTS) {
    fields.object(name)?.text('type');
    const expected = 'an object whose patterns are {"String": text} or {"Regex": text}';
    fields.get(name, expected, (part) => !hasOddPattern(part), null);
  }
  try {
    return {file, tokenizer: build(fields.values, config.values), config};
  } catch (error) {
    const part = partAtFault(fields.values, config.values);
    throw new Error(`${file}: ${part} must be a Hugging Face tokenizer's: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

/**
 * tokenizer_config.json, with the special tokens of special_tokens_map.json. As in transformers, the latter count only
 * if the former has no `added_tokens_decoder`, which newer files have, and then take its place.
 */
function readConfig(dir: string): Fields {
  const read = (name: string) => {
    const file = path.join(dir, name);
    const fields = existsSync(file) ? Fields.read(file) : new Fields(file, {});
    checkConfig(fields);
    return fields;
  };
  const config = read('tokenizer_config.json');
  if (config.has('added_tokens_decoder')) return config;
  return new Fields(config.file, {...config.values, ...read('special_tokens_map.json').values});
}

/** Makes the tokenizer and uses it once, because the library finds some errors only when a part is used. */
function build(json: object, config: object): Tokenizer {
  const tokenizer = new Tokenizer(json, config);
  const ids = tokenizer.encode(PROBE).ids.filter((id: unknown) => id !== undefined);
  if (ids.length > 0) tokenizer.decode(ids);
  return tokenizer;
}

/** Name of the first part with which the tokenizer cannot be built; the library's errors do not tell. */
function partAtFault(json: object, config: object): string {
  const parts: Record<string, unknown> = {...json};
  const works = () => {
    try {
      build(parts, config);
      return true;
    } catch {
      return false;
    }
  };
  const given = {...parts};
  for (const name of PARTS) parts[name] = null;
  if (!works()) return 'model';
  for (const name of PARTS) {
    parts[name] = given[name];
    if (!works()) return name;
  }
  return 'model';
}

function checkModel(fields: Fields): void {
  const model = fields.object('model');
  if (!model) throw fields.error('model', 'an object');
  if (model.has('type')) model.text('type');
  const {vocab} = model.values;
  if (Array.isArray(vocab)) {
    const isPiece = (piece: unknown) =>
      Array.isArray(piece) && typeof piece[0] === 'string' && Number.isFinite(piece[1]);
    model.list('vocab', 'a list of [token, score]', isPiece);
  } else {
    const ids = model.object('vocab');
    if (!ids) throw model.error('vocab', 'an object');
    for (const token of Object.keys(ids.values))
      if (ids.whole(token, 0) >= MOST_TOKENS) throw ids.error(token, `below ${MOST_TOKENS}`);
  }
  if (!model.has('merges')) return;
  const isText = (value: unknown) => typeof value === 'string';
  const isMerge = (merge: unknown) =>
    isText(merge) || (Array.isArray(merge) && merge.length === 2 && merge.every(isText));
  model.list('merges', 'a list of pairs of tokens', isMerge);
}

/** Whether a part has a pattern of unknown form. The library would ignore it without an error. */
function hasOddPattern(part: unknown): boolean {
  if (typeof part !== 'object' || part === null) return false;
  return Object.entries(part).some(([name, value]) => {
    if (name !== 'pattern') return hasOddPattern(value);
    const {String: text, Regex: expression} = (value ?? {}) as {String?: unknown; Regex?: unknown};
    return typeof (text ?? expression) !== 'string';
  });
}

function checkAddedTokens(fields: Fields): void {
  const [isId] = whole(0, MOST_TOKENS - 1);
  const isToken = (value: unknown) => {
    const {id, content} = (value ?? {}) as {id?: unknown; content?: unknown};
    return isId(id) && typeof content === 'string' && content.length > 0;
  };
  fields.list('added_tokens', 'a list of tokens with an id and a content', isToken);
}

function checkConfig(config: Fields): void {
  for (const name of ['bos_token', 'eos_token'])
    if (config.has(name)) config.get(name, 'a token', (token) => contentOf(token) !== undefined);
  if (config.has('additional_special_tokens'))
    config.list('additional_special_tokens', 'a list of tokens', (token) => contentOf(token) !== undefined);
}

/**
 * The tokens that have names, by name: `bos_token`, `pad_token` and whatever else ends in `_token`, and a model's own.
 */
export function namedTokens({values}: Fields): Map<string, string> {
  const own = [values.extra_special_tokens, values.model_specific_special_tokens].flatMap((tokens) =>
    typeof tokens === 'object' && tokens !== null && !Array.isArray(tokens) ? Object.entries(tokens) : [],
  );
  const all = [...Object.entries(values).filter(([name]) => name.endsWith('_token')), ...own];
  const named = new Map<string, string>();
  for (const [name, token] of all) {
    const content = contentOf(token);
    if (content !== undefined) named.set(name, content);
  }
  return named;
}

/**
 * The text of a token in tokenizer_config.json, which is a string or an object with a `content`; undefined if it is
 * neither.
 */
export function contentOf(token: unknown): string | undefined {
  const content =
    typeof token === 'object' && token !== null ? (token as {content?: unknown}).content : token;
  return typeof content === 'string' ? content : undefined;
}

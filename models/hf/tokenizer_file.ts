/** Reads tokenizer.json and the files beside it, and checks what the tokenizer would take silently. */
import {existsSync} from 'node:fs';
import * as path from 'node:path';

import {whole} from '../../backend/check.js';
import {Fields} from './json_file.js';
import {Pipeline} from './tokenizer/pipeline.js';
import {contentOf, readAddedToken, readSpecialTokens} from './tokenizer/special_tokens.js';

/** Parts of tokenizer.json through which text passes, apart from the model. Each may be null. */
const PARTS = ['normalizer', 'pre_tokenizer', 'post_processor', 'decoder'] as const;
/** Ids are below this, so that two of them fit into one number (tokenizer/bpe.ts). */
const MOST_TOKENS = 2 ** 24;

export interface TokenizerFiles {
  /** Path of tokenizer.json. */
  file: string;
  pipeline: Pipeline;
  /** Content of tokenizer_config.json, with what special_tokens_map.json says; empty if there is neither. */
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
  const own = fields.has('added_tokens')
    ? fields.objects('added_tokens').map((token) => readAddedToken(token))
    : [];
  return {file, pipeline: new Pipeline(fields, [own, readSpecialTokens(config, own)]), config};
}

/**
 * tokenizer_config.json. The fields of special_tokens_map.json stand above it, unless it has `added_tokens_decoder`:
 * newer files do not need that map, and transformers does not read it then.
 */
function readConfig(dir: string): Fields {
  const file = path.join(dir, 'tokenizer_config.json');
  const mapFile = path.join(dir, 'special_tokens_map.json');
  const config = existsSync(file) ? Fields.read(file) : new Fields(file, {});
  checkConfig(config);
  if (config.has('added_tokens_decoder') || !existsSync(mapFile)) return config;
  const map = Fields.read(mapFile);
  checkConfig(map);
  return new Fields(file, {...config.values, ...map.values});
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
}

/** Whether a part has a pattern of unknown form. */
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
  if (fields.has('added_tokens'))
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

/** The pieces of texts that are decoded. */
import {createHash} from 'node:crypto';

import type {LlamaTokenizer} from '../../models/hf/tokenizer.js';
import type {Check} from '../../backend/check.js';

export interface EvaluationText {
  /** What it is called in the results. */
  name: string;
  text: string;
}

export const IS_TEXT: Check = [
  (value) =>
    ['name', 'text'].every((field) => typeof (value as Record<string, unknown> | null)?.[field] === 'string'),
  '{name, text}',
];

export interface Window {
  text: string;
  /** Character of the text at which it begins. */
  from: number;
  /** `length` of them; the first is the token that begins a text, which attention rests on. */
  tokens: number[];
  /** SHA-256 of the tokens, shortened: what tells it from others. */
  hash: string;
}

/** Characters that are tokenised for each token wanted; more where they were not enough. */
const CHARACTERS = 6;

/**
 * `count` windows of a text, evenly spread over it; fewer where they would overlap, none where it is shorter than one. Each begins at a
 * word's beginning.
 */
export function cutWindows(
  {name, text}: EvaluationText,
  tokenizer: LlamaTokenizer,
  length: number,
  count: number,
): Window[] {
  const windows: Window[] = [];
  let end = 0;
  for (let i = 0; i < count; i++) {
    const from = Math.max(end, Math.floor((i * text.length) / count));
    const begin = from === 0 ? 0 : wordAfter(text, from);
    const piece = encodeAtLeast(text, begin, tokenizer, length);
    if (!piece) break;
    windows.push({text: name, from: begin, tokens: piece.tokens, hash: hashOf(piece.tokens)});
    end = piece.end;
  }
  return windows;
}

/**
 * `length` tokens of a text from a word's beginning, `place` of the way (in [0, 1)) to the last that is far enough from its end.
 * @throws Error where the text is shorter
 */
export function excerpt(
  {name, text}: EvaluationText,
  tokenizer: LlamaTokenizer,
  length: number,
  place: number,
): number[] {
  const from = Math.floor(place * Math.max(0, text.length - CHARACTERS * length));
  const begin = from === 0 ? 0 : wordAfter(text, from);
  const piece = encodeAtLeast(text, begin, tokenizer, length) ?? encodeAtLeast(text, 0, tokenizer, length);
  if (!piece) throw new Error(`[evaluate] texts must have ${length} tokens or more, but '${name}' has fewer`);
  return piece.tokens;
}

function wordAfter(text: string, from: number): number {
  const space = text.slice(from).search(/\s/);
  const word = space < 0 ? -1 : text.slice(from + space).search(/\S/);
  return word < 0 ? text.length : from + space + word;
}

/** The first `length` tokens of the text from `begin`, and the character before which they end, at the latest. */
function encodeAtLeast(
  text: string,
  begin: number,
  tokenizer: LlamaTokenizer,
  length: number,
): {tokens: number[]; end: number} | undefined {
  for (let characters = CHARACTERS * length; ; characters *= 2) {
    const end = Math.min(text.length, begin + characters);
    const tokens = tokenizer.encode(text.slice(begin, end));
    // Where the piece was cut its last tokens may not be the text's.
    if (tokens.length > length + CHARACTERS || (end === text.length && tokens.length >= length)) {
      const used = tokens.slice(0, length);
      return {tokens: used, end: begin + tokenizer.decode(used).length};
    }
    if (end === text.length) return undefined;
  }
}

function hashOf(tokens: number[]): string {
  return createHash('sha256').update(Int32Array.from(tokens)).digest('hex').slice(0, 16);
}

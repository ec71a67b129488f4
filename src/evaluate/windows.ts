/** Cuts the pieces out of texts that evaluations decode. */
import {createHash} from 'node:crypto';

import type {LlamaTokenizer} from '../../models/hf/tokenizer.js';
import type {Check} from '../../backend/check.js';

export interface EvaluationText {
  /** The text's name in the results. */
  name: string;
  text: string;
}

export const IS_TEXT: Check = [
  (value) =>
    ['name', 'text'].every((field) => typeof (value as Record<string, unknown> | null)?.[field] === 'string'),
  '{name, text}',
];

export interface Window {
  /** Name of the text. */
  text: string;
  /** Character of the text at which the window begins. */
  from: number;
  /** The first one is the token that begins a text, on which models rest much of their attention. */
  tokens: number[];
  /** SHA-256 of the tokens, shortened; identifies the window. */
  hash: string;
}

/** Characters that are tokenised for each token wanted, at first; if they give too few tokens, twice as many are tried. */
const CHARACTERS = 6;

/**
 * Cuts `count` windows of `length` tokens out of a text, evenly spread over it: fewer where they would overlap, none
 * where the text is shorter than a window. Each begins at the beginning of a word.
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
 * Cuts `length` tokens out of a text, from the beginning of a word.
 * @param place where to begin, in [0, 1): 0 is the text's beginning, 1 the last place with enough text after it
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

/**
 * The first `length` tokens of the text from `begin`, and the character at or before which they end; undefined where
 * the text is too short.
 */
function encodeAtLeast(
  text: string,
  begin: number,
  tokenizer: LlamaTokenizer,
  length: number,
): {tokens: number[]; end: number} | undefined {
  for (let characters = CHARACTERS * length; ; characters *= 2) {
    const end = Math.min(text.length, begin + characters);
    const tokens = tokenizer.encode(text.slice(begin, end));
    // Cutting the piece may have changed its last tokens, so more than `length` are wanted unless the text ends here.
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

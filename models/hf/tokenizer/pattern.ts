/**
 * Patterns of tokenizer.json, and how a text is split by them. The semantics are those of Hugging Face's tokenizers in
 * Rust, whose regular expressions are Oniguruma's.
 */
import * as library from '@huggingface/tokenizers';

import type {Fields} from '../json_file.js';

/** The library's declarations lack its parts. */
const {SplitPreTokenizer: Split} = library as unknown as {
  SplitPreTokenizer: new (part: {pattern: {Regex: string}}) => {pattern: RegExp};
};

/** A part of a text from `start` up to `end`, and whether the pattern matched it. */
export type Span = readonly [start: number, end: number, isMatch: boolean];

/** What becomes of the matches when a text is split. */
export const BEHAVIORS = [
  'Removed',
  'Isolated',
  'Contiguous',
  'MergedWithPrevious',
  'MergedWithNext',
] as const;
export type Behavior = (typeof BEHAVIORS)[number];

/** White space as Rust's `char::is_whitespace` and its regular expressions know it; JavaScript's `\s` differs. */
export const SPACE = /\p{White_Space}/u;
/** The characters of `\w` in Rust's regular expressions, as the content of a character class. */
export const WORD_CLASS = '\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\p{Join_Control}';
/** The characters of `char::is_ascii_punctuation` and Unicode's punctuation, as the content of a character class. */
export const PUNCTUATION_CLASS = '\\p{P}!-\\/:-@\\[-`\\{-~';

/**
 * Translates a regular expression of Oniguruma. `@huggingface/tokenizers` does the translation, except that its
 * case-insensitive groups fold only ASCII letters: Oniguruma also folds ſ (U+017F) to s and the Kelvin sign to k.
 * @throws Error if JavaScript has no such expression
 */
export function fromOniguruma(expression: string): RegExp {
  const {source, flags} = new Split({pattern: {Regex: expression}}).pattern;
  return new RegExp(
    expression.includes('(?i')
      ? source.replaceAll('[sS]', '[sS\u017f]').replaceAll('[kK]', '[kK\u212a]')
      : source,
    flags,
  );
}

/** The pattern of a part of tokenizer.json: `{"String": text}` or `{"Regex": expression}`. */
export function readPattern(part: Fields): RegExp {
  const pattern = part.object('pattern');
  if (!pattern) throw part.error('pattern', 'an object');
  if (pattern.has('Regex')) return fromOniguruma(pattern.text('Regex'));
  const text = pattern.text('String').replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&');
  return new RegExp(text, 'gu');
}

/** The spans that cover `text`, in order. An empty match right after a match does not count, as in Rust and Oniguruma. */
export function spansOf(pattern: RegExp, text: string): Span[] {
  if (text === '') return [[0, 0, false]];
  const spans: Span[] = [];
  let end = 0;
  for (const {0: match, index} of text.matchAll(pattern)) {
    if (match === '' && index === end && spans.at(-1)?.[2]) continue;
    if (index > end) spans.push([end, index, false]);
    end = index + match.length;
    spans.push([index, end, true]);
  }
  if (end < text.length) spans.push([end, text.length, false]);
  return spans;
}

/** Replaces each match by `content`, in which `$` has no meaning. */
export function replaceAll(pattern: RegExp, text: string, content: string): string {
  let replaced = '';
  for (const [start, end, isMatch] of spansOf(pattern, text))
    replaced += isMatch ? content : text.slice(start, end);
  return replaced;
}

/** The parts into which spans split a text, some of them empty. */
export function splitSpans(spans: readonly Span[], behavior: Behavior): [start: number, end: number][] {
  switch (behavior) {
    case 'Removed':
      return spans.filter(([, , isMatch]) => !isMatch).map(([start, end]) => [start, end]);
    case 'Isolated':
      return spans.map(([start, end]) => [start, end]);
    case 'Contiguous':
      return merge(spans, (isMatch, previous) => isMatch === previous);
    case 'MergedWithPrevious':
      return merge(spans, (isMatch, previous) => isMatch && !previous);
    case 'MergedWithNext':
      return merge([...spans].reverse(), (isMatch, previous) => isMatch && !previous).reverse();
  }
}

/** Joins each span to the one before it where `joins` says so. The first one counts as preceded by no match. */
function merge(
  spans: readonly Span[],
  joins: (isMatch: boolean, previous: boolean) => boolean,
): [start: number, end: number][] {
  const parts: [number, number][] = [];
  let previous = false;
  for (const [start, end, isMatch] of spans) {
    const last = parts.at(-1);
    if (last && joins(isMatch, previous)) {
      last[0] = Math.min(last[0], start);
      last[1] = Math.max(last[1], end);
    } else {
      parts.push([start, end]);
    }
    previous = isMatch;
  }
  return parts;
}

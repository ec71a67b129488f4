/** Pre-tokenizers of tokenizer.json: how a text is cut into the pieces that the model encodes one by one. */
import {oneOf} from '../../../backend/check.js';
import type {Fields} from '../json_file.js';
import {toByteCharacters} from './bytes.js';
import {
  BEHAVIORS,
  PUNCTUATION_CLASS,
  WORD_CLASS,
  fromOniguruma,
  readPattern,
  spansOf,
  splitSpans,
  type Behavior,
  type Span,
} from './pattern.js';

/** A piece of a text, and whether it begins where the text that was given begins. */
export interface Piece {
  text: string;
  first: boolean;
}

export type PreTokenizer = (pieces: readonly Piece[]) => Piece[];

/** The words of GPT-2, into which the ByteLevel pre-tokenizer cuts unless told otherwise. */
const GPT2_WORDS = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
const PUNCTUATION = new RegExp(`[${PUNCTUATION_CLASS}]`, 'gu');

/** @throws Error if the part is of a kind that does not exist, or has a field that is not as it should be */
export function readPreTokenizer(part: Fields): PreTokenizer {
  const type = part.text('type');
  switch (type) {
    case 'Sequence':
      return inTurn(part.objects('pretokenizers').map(readPreTokenizer));
    case 'ByteLevel':
      return byteLevel(part);
    case 'Metaspace':
      return metaspace(part);
    case 'Split':
      return split(readPattern(part), readBehavior(part), part.flag('invert', false));
    case 'Punctuation':
      return split(PUNCTUATION, readBehavior(part, 'Isolated'));
    case 'Digits':
      // A digit is every numeric character, ½ and Ⅷ too.
      return split(/\p{N}/gu, part.flag('individual_digits') ? 'Isolated' : 'Contiguous');
    case 'Whitespace':
      return split(new RegExp(`[${WORD_CLASS}]+|[^${WORD_CLASS}\\p{White_Space}]+`, 'gu'), 'Removed', true);
    case 'WhitespaceSplit':
      return split(/\p{White_Space}/gu, 'Removed');
    case 'BertPreTokenizer':
      return inTurn([split(/\p{White_Space}/gu, 'Removed'), split(PUNCTUATION, 'Isolated')]);
    case 'CharDelimiterSplit': {
      const delimiter = part
        .text('delimiter')
        .replace(/[^]/u, (unit) => `\\u{${unit.codePointAt(0)!.toString(16)}}`);
      return split(new RegExp(delimiter, 'gu'), 'Removed');
    }
    case 'FixedLength':
      return fixedLength(part.whole('length', 1, 5));
    default:
      throw new Error(`there is no pre-tokenizer of type ${type}`);
  }
}

function inTurn(steps: readonly PreTokenizer[]): PreTokenizer {
  return (pieces) => steps.reduce<Piece[]>((cut, step) => step(cut), [...pieces]);
}

function readBehavior(part: Fields, missing?: Behavior): Behavior {
  const [holds, expected] = oneOf(...BEHAVIORS);
  return part.get('behavior', expected, holds, missing);
}

/** Cuts every piece; parts that are empty vanish. */
function cut(pieces: readonly Piece[], partsOf: (text: string) => [start: number, end: number][]): Piece[] {
  const parts: Piece[] = [];
  for (const {text, first} of pieces)
    for (const [start, end] of partsOf(text))
      if (end > start) parts.push({text: text.slice(start, end), first: first && start === 0});
  return parts;
}

/** @param invert whether the pattern matches what is between the delimiters, instead of the delimiters */
function split(pattern: RegExp, behavior: Behavior, invert = false): PreTokenizer {
  return (pieces) =>
    cut(pieces, (text) => {
      const spans = spansOf(pattern, text);
      const inverted = ([start, end, isMatch]: Span): Span => [start, end, !isMatch];
      return splitSpans(invert ? spans.map(inverted) : spans, behavior);
    });
}

function byteLevel(part: Fields): PreTokenizer {
  const addsSpace = part.flag('add_prefix_space', false);
  const words = part.flag('use_regex', true) ? split(fromOniguruma(GPT2_WORDS), 'Isolated') : undefined;
  return (pieces) => {
    const spaced = addsSpace
      ? pieces.map(({text, first}) => ({text: text.startsWith(' ') ? text : ` ${text}`, first}))
      : pieces;
    return (words?.(spaced) ?? spaced).map(({text, first}) => ({text: toByteCharacters(text), first}));
  };
}

function metaspace(part: Fields): PreTokenizer {
  const replacement = part.text('replacement', '▁');
  const [holds, expected] = oneOf('always', 'first', 'never');
  const whenMissing = part.flag('add_prefix_space', true) ? 'always' : 'never';
  const scheme = part.get<string>('prepend_scheme', expected, holds, whenMissing);
  const splits = part.flag('split', true);
  const before = new RegExp(`(?=${replacement.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&')})`, 'u');
  return (pieces) =>
    pieces.flatMap(({text, first}) => {
      let spaced = text.replaceAll(' ', () => replacement);
      const prepends = scheme === 'always' || (scheme === 'first' && first);
      if (prepends && !spaced.startsWith(replacement)) spaced = replacement + spaced;
      const words = splits ? mergedWithNext(spaced, before) : [spaced];
      return words.map((word, i) => ({text: word, first: first && i === 0}));
    });
}

/** Cuts before every place where `before` holds. */
function mergedWithNext(text: string, before: RegExp): string[] {
  return text.split(before);
}

function fixedLength(length: number): PreTokenizer {
  const chunk = new RegExp(`[^]{1,${length}}`, 'gu');
  return (pieces) =>
    pieces.flatMap(({text, first}) =>
      (text.match(chunk) ?? []).map((word, i) => ({text: word, first: first && i === 0})),
    );
}

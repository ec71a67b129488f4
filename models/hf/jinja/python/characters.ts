/** What Python knows of characters and JavaScript does otherwise: blanks, line ends, cases and digits. */
import {charactersOf} from './values.js';

/** The blanks that Python strips and `\s` of its regular expressions matches, for a class of a regular expression. */
export const PYTHON_SPACE =
  '\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000';

const BLANKS_BEFORE = new RegExp(`^[${PYTHON_SPACE}]+`);
const BLANKS = new RegExp(`[${PYTHON_SPACE}]+`);
const BLANK = new RegExp(`^[${PYTHON_SPACE}]$`);
/** The characters that end a line for `splitlines`. */
const LINE_ENDS = '\\n\\r\\v\\f\\x1c-\\x1e\\x85\\u2028\\u2029';
const LINE = new RegExp(`[^${LINE_ENDS}]*(?:\\r\\n|[${LINE_ENDS}]|$)`, 'g');
const LINE_END = new RegExp(`(?:\\r\\n|[${LINE_ENDS}])$`);

export type Side = 'left' | 'right' | 'both';

/**
 * `text` without the characters at its ends that are in `characters`.
 * @param characters undefined for blanks
 */
export function strip(text: string, side: Side, characters?: string): string {
  if (characters === undefined) {
    const begun = side === 'right' ? text : text.replace(BLANKS_BEFORE, '');
    let end = begun.length;
    if (side !== 'left') while (end > 0 && BLANK.test(begun[end - 1])) end--;
    return begun.slice(0, end);
  }
  const given = new Set(charactersOf(characters));
  const all = charactersOf(text);
  let [start, end] = [0, all.length];
  if (side !== 'right') while (start < end && given.has(all[start])) start++;
  if (side !== 'left') while (end > start && given.has(all[end - 1])) end--;
  return all.slice(start, end).join('');
}

/** The words of `text` between blanks: at most `most` cuts, after which the rest is one word, without blanks around. */
export function words(text: string, most: number, fromRight: boolean): string[] {
  const found: string[] = [];
  let rest = strip(text, fromRight ? 'right' : 'left');
  if (fromRight) {
    while (rest !== '' && found.length < most) {
      let start = rest.length;
      while (start > 0 && !BLANK.test(rest[start - 1])) start--;
      found.unshift(rest.slice(start));
      rest = strip(rest.slice(0, start), 'right');
    }
    return rest === '' ? found : [rest, ...found];
  }
  while (rest !== '' && found.length < most) {
    const blank = BLANKS.exec(rest);
    found.push(blank ? rest.slice(0, blank.index) : rest);
    rest = blank ? rest.slice(blank.index + blank[0].length) : '';
  }
  return rest === '' ? found : [...found, rest];
}

export function lines(text: string, keepEnds: boolean): string[] {
  const found = (text.match(LINE) ?? []).filter((line) => line !== '');
  return keepEnds ? found : found.map((line) => line.replace(LINE_END, ''));
}

let titles: Map<string, string> | undefined;

/** The one character in title case; only a few differ from their upper case. */
function titleOf(character: string): string {
  if (!titles) {
    titles = new Map();
    for (let code = 0x1c4; code < 0x2000; code++) {
      const title = String.fromCodePoint(code);
      if (!/\p{Lt}/u.test(title)) continue;
      for (const other of [title, title.toLowerCase(), title.toUpperCase()])
        if (charactersOf(other).length === 1) titles.set(other, title);
    }
  }
  // Georgian letters are upper case in headings alone.
  if (/[\u10d0-\u10ff]/.test(character)) return character;
  const upper = titles.get(character) ?? character.toUpperCase();
  const [first, ...rest] = charactersOf(upper);
  return first + rest.join('').toLowerCase();
}

export function capitalize(text: string): string {
  const [first = '', ...rest] = charactersOf(text);
  return titleOf(first || ' ').slice(0, first ? undefined : 0) + rest.join('').toLowerCase();
}

const CASED = /\p{Lowercase}|\p{Uppercase}|\p{Lt}/u;

/** Each run of letters in title case. */
export function title(text: string): string {
  let previous = false;
  return charactersOf(text)
    .map((character) => {
      const changed = previous ? character.toLowerCase() : titleOf(character);
      previous = CASED.test(character);
      return changed;
    })
    .join('');
}

export const swapCase = (text: string): string =>
  charactersOf(text)
    .map((character) => {
      if (/\p{Uppercase}|\p{Lt}/u.test(character)) return character.toLowerCase();
      return /\p{Lowercase}/u.test(character) ? character.toUpperCase() : character;
    })
    .join('');

/** Digits that are no decimals: those in circles, as exponents and the like. */
const OTHER_DIGITS =
  /[\xb2\xb3\xb9\u1369-\u1371\u19da\u2070\u2074-\u2079\u2080-\u2089\u2460-\u2468\u2474-\u247c\u2488-\u2490\u24ea\u24f5-\u24fd\u24ff\u2776-\u277e\u2780-\u2788\u278a-\u2792\u{10a40}-\u{10a43}\u{10e60}-\u{10e68}\u{11052}-\u{1105a}\u{1f100}-\u{1f10a}]/u;

/** The predicates that hold of a text if it is not empty and they hold of every character. */
const CLASSES: Record<string, (character: string) => boolean> = {
  isalnum: (character) => /[\p{L}\p{N}]/u.test(character),
  isalpha: (character) => /\p{L}/u.test(character),
  isdecimal: (character) => /\p{Nd}/u.test(character),
  isdigit: (character) => /\p{Nd}/u.test(character) || OTHER_DIGITS.test(character),
  isnumeric: (character) => /\p{N}/u.test(character),
  isspace: (character) => BLANK.test(character),
};

export const isPrintable = (character: string): boolean =>
  character === ' ' || !/[\p{C}\p{Z}]/u.test(character);

function isTitle(text: string): boolean {
  let previous = false;
  let found = false;
  for (const character of charactersOf(text)) {
    const cased = CASED.test(character);
    const large = cased && !/\p{Lowercase}/u.test(character);
    if (cased && large === previous) return false;
    found ||= cased;
    previous = cased;
  }
  return found;
}

function hasOneCase(text: string, other: RegExp): boolean {
  const cased = charactersOf(text).filter((character) => CASED.test(character));
  return cased.length > 0 && !cased.some((character) => other.test(character));
}

/** Python's predicates of texts, by the method's name. */
export const PREDICATES: Record<string, (text: string) => boolean> = {
  ...Object.fromEntries(
    Object.entries(CLASSES).map(([name, holds]) => [
      name,
      (text: string) => text !== '' && charactersOf(text).every(holds),
    ]),
  ),
  isascii: (text) => !/[^\0-\x7f]/.test(text),
  isprintable: (text) => charactersOf(text).every(isPrintable),
  isidentifier: (text) => /^[\p{XID_Start}_]\p{XID_Continue}*$/u.test(text),
  islower: (text) => hasOneCase(text, /\p{Uppercase}|\p{Lt}/u),
  isupper: (text) => hasOneCase(text, /\p{Lowercase}|\p{Lt}/u),
  istitle: isTitle,
};

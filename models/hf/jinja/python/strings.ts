/** The methods of Python's str, which count in code points. */
import {bind} from '../bind.js';
import {PREDICATES, capitalize, lines, strip, swapCase, title, words, type Side} from './characters.js';
import {
  Callable,
  List,
  TemplateError,
  Tuple,
  Undefined,
  charactersOf,
  isTrue,
  iterate,
  sizeOf,
  textLength,
  typeError,
  typeName,
  type Value,
} from './values.js';

type Given = Value | undefined;
/** The parameters, as `bind` takes them, and what the method returns. */
type Method = [parameters: string, run: (text: string, ...given: Given[]) => Value];

function textArgument(value: Given): string {
  if (value instanceof Undefined) value.fail();
  if (typeof value !== 'string')
    throw typeError(`a method of str needs a str, not ${typeName(value ?? null)}`);
  return value;
}

/** A text, or undefined where it is none or left out. */
const optional = (value: Given): string | undefined =>
  value === undefined || value === null ? undefined : textArgument(value);

const limit = (value: Given): number => {
  const most = value === undefined ? -1 : sizeOf(value);
  return most < 0 ? Infinity : most;
};

const stripped =
  (side: Side) =>
  (text: string, characters: Given): Value =>
    strip(text, side, optional(characters));

/** Pieces of `text` between separators, at most `most` cuts, made from the left or from the right. */
function split(text: string, separator: Given, most: number, fromRight: boolean): Value {
  const mark = optional(separator);
  if (mark === undefined) return new List(words(text, most, fromRight));
  if (mark === '') throw new TemplateError('empty separator');
  const parts = text.split(mark);
  if (fromRight && text.includes(mark)) {
    // Separators that overlap are found from the right.
    const found: string[] = [];
    let rest = text;
    while (found.length < most && rest.includes(mark)) {
      const at = rest.lastIndexOf(mark);
      found.unshift(rest.slice(at + mark.length));
      rest = rest.slice(0, at);
    }
    return new List([rest, ...found]);
  }
  if (parts.length - 1 <= most) return new List(parts);
  return new List([...parts.slice(0, most), parts.slice(most).join(mark)]);
}

function partition(text: string, separator: Given, fromRight: boolean): Value {
  const mark = textArgument(separator);
  if (mark === '') throw new TemplateError('empty separator');
  const at = fromRight ? text.lastIndexOf(mark) : text.indexOf(mark);
  if (at < 0) return new Tuple(fromRight ? ['', '', text] : [text, '', '']);
  return new Tuple([text.slice(0, at), mark, text.slice(at + mark.length)]);
}

/** The part of `text` from the character `start` to `end`, and where it begins; undefined past the end. */
function part(text: string, start: Given, end: Given): [string, number] | undefined {
  const characters = charactersOf(text);
  const bound = (value: Given, missing: number) => {
    if (value === undefined || value === null) return missing;
    const at = sizeOf(value);
    return at < 0 ? Math.max(0, at + characters.length) : at;
  };
  const first = bound(start, 0);
  const last = Math.min(bound(end, characters.length), characters.length);
  return first > last ? undefined : [characters.slice(first, last).join(''), first];
}

/** The index of the first or last match in characters, -1 if there is none. */
function find(text: string, wanted: Given, start: Given, end: Given, last: boolean): number {
  const mark = textArgument(wanted);
  const within = part(text, start, end);
  if (!within) return -1;
  const at = last ? within[0].lastIndexOf(mark) : within[0].indexOf(mark);
  return at < 0 ? -1 : within[1] + textLength(within[0].slice(0, at));
}

function index(text: string, wanted: Given, start: Given, end: Given, last: boolean): Value {
  const at = find(text, wanted, start, end, last);
  if (at < 0) throw new TemplateError('substring not found');
  return BigInt(at);
}

function count(text: string, wanted: Given, start: Given, end: Given): Value {
  const mark = textArgument(wanted);
  const within = part(text, start, end);
  if (!within) return 0n;
  return BigInt(mark === '' ? textLength(within[0]) + 1 : within[0].split(mark).length - 1);
}

function affix(text: string, wanted: Given, start: Given, end: Given, atEnd: boolean): boolean {
  const marks = wanted instanceof Tuple ? wanted.items : [wanted];
  const within = part(text, start, end);
  return marks.some((one) => {
    const mark = textArgument(one);
    return within !== undefined && (atEnd ? within[0].endsWith(mark) : within[0].startsWith(mark));
  });
}

/** All or the first `most` occurrences replaced. An empty text occurs before and after each character. */
export function replace(text: string, old: string, by: string, most: number): string {
  if (old !== '') {
    const parts = text.split(old);
    if (parts.length - 1 <= most) return parts.join(by);
    return parts.slice(0, most + 1).join(by) + old + parts.slice(most + 1).join(old);
  }
  const characters = charactersOf(text);
  const before = (at: number) => (at < most ? by : '');
  return characters.map((character, at) => before(at) + character).join('') + before(characters.length);
}

function join(separator: string, items: Given): string {
  return Array.from(iterate(items ?? null), (item, at) => {
    if (typeof item !== 'string')
      throw typeError(`sequence item ${at}: expected str instance, ${typeName(item)} found`);
    return item;
  }).join(separator);
}

/** The blanks or other characters that fill up `text` to `width` characters. */
function filling(text: string, width: Given, fill: Given): [number, string] {
  const mark = fill === undefined ? ' ' : textArgument(fill);
  if (textLength(mark) !== 1) throw typeError('The fill character must be exactly one character long');
  const missing = Math.max(0, sizeOf(width ?? 0n) - textLength(text));
  if (missing > 2 ** 22) throw new TemplateError('a width is too large');
  return [missing, mark];
}

export function center(text: string, width: Given, fill?: Given): string {
  const [missing, mark] = filling(text, width, fill);
  const left = Math.floor(missing / 2) + (missing & sizeOf(width ?? 0n) & 1);
  return mark.repeat(left) + text + mark.repeat(missing - left);
}

function zfill(text: string, width: Given): string {
  const [missing] = filling(text, width, undefined);
  const sign = /^[-+]/.exec(text)?.[0] ?? '';
  return sign + '0'.repeat(missing) + text.slice(sign.length);
}

function expandTabs(text: string, size: number): string {
  let column = 0;
  return charactersOf(text)
    .map((character) => {
      if (character !== '\t') {
        column = character === '\n' || character === '\r' ? 0 : column + 1;
        return character;
      }
      const blanks = size > 0 ? size - (column % size) : 0;
      column += blanks;
      return ' '.repeat(blanks);
    })
    .join('');
}

const METHODS: Record<string, Method> = {
  capitalize: ['', capitalize],
  center: ['width fillchar= /', center],
  count: ['sub start= end= /', count],
  endswith: ['suffix start= end= /', (text, mark, start, end) => affix(text, mark, start, end, true)],
  expandtabs: ['tabsize=', (text, size) => expandTabs(text, size === undefined ? 8 : sizeOf(size))],
  find: ['sub start= end= /', (text, mark, start, end) => BigInt(find(text, mark, start, end, false))],
  index: ['sub start= end= /', (text, mark, start, end) => index(text, mark, start, end, false)],
  join: ['iterable /', join],
  ljust: [
    'width fillchar= /',
    (text, width, fill) => {
      const [missing, mark] = filling(text, width, fill);
      return text + mark.repeat(missing);
    },
  ],
  lower: ['', (text) => text.toLowerCase()],
  lstrip: ['chars= /', stripped('left')],
  partition: ['sep /', (text, mark) => partition(text, mark, false)],
  removeprefix: [
    'prefix /',
    (text, mark) => (text.startsWith(textArgument(mark)) ? text.slice((mark as string).length) : text),
  ],
  removesuffix: [
    'suffix /',
    (text, mark) =>
      text.endsWith(textArgument(mark)) ? text.slice(0, text.length - (mark as string).length) : text,
  ],
  replace: [
    'old new count= /',
    (text, old, by, most) => replace(text, textArgument(old), textArgument(by), limit(most)),
  ],
  rfind: ['sub start= end= /', (text, mark, start, end) => BigInt(find(text, mark, start, end, true))],
  rindex: ['sub start= end= /', (text, mark, start, end) => index(text, mark, start, end, true)],
  rjust: [
    'width fillchar= /',
    (text, width, fill) => {
      const [missing, mark] = filling(text, width, fill);
      return mark.repeat(missing) + text;
    },
  ],
  rpartition: ['sep /', (text, mark) => partition(text, mark, true)],
  rsplit: ['sep= maxsplit=', (text, mark, most) => split(text, mark, limit(most), true)],
  rstrip: ['chars= /', stripped('right')],
  split: ['sep= maxsplit=', (text, mark, most) => split(text, mark, limit(most), false)],
  splitlines: ['keepends=', (text, keep) => new List(lines(text, isTrue(keep ?? false)))],
  startswith: ['prefix start= end= /', (text, mark, start, end) => affix(text, mark, start, end, false)],
  strip: ['chars= /', stripped('both')],
  swapcase: ['', swapCase],
  title: ['', title],
  upper: ['', (text) => text.toUpperCase()],
  zfill: ['width /', zfill],
};
for (const [name, holds] of Object.entries(PREDICATES)) METHODS[name] = ['', holds];

/** Methods of str in Python that are missing here: a template that calls one is refused. */
export const MISSING_METHODS = ['casefold', 'encode', 'maketrans', 'translate'];

/** The method `name` of `text`; undefined if str has none. `format` is in attributes.ts. */
export function textMethod(text: string, name: string): Callable | undefined {
  if (!Object.hasOwn(METHODS, name)) return undefined;
  const [parameters, run] = METHODS[name];
  const names = parameters.split(' ').filter((parameter) => parameter !== '');
  return new Callable(name, (positional, named) => run(text, ...bind(name, names, positional, named)));
}

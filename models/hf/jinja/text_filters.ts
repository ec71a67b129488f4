/** The filters of Jinja2 that make texts and numbers. */
import {
  charactersOf,
  isNumber,
  isTrue,
  lengthOf,
  numberOf,
  sizeOf,
  textLength,
  toFloat,
  typeError,
  typeName,
} from './python/values.js';
import {
  Dict,
  List,
  TemplateError,
  Tuple,
  Undefined,
  iterate,
  type Named,
  type Value,
} from './python/values.js';
import {PYTHON_SPACE, capitalize, lines, strip} from './python/characters.js';
import {fixed, round} from './python/decimals.js';
import {binary} from './operators.js';
import {percentFormat} from './python/percent.js';
import {center, replace} from './python/strings.js';
import {MOST_DIGITS, jsonForm, textOf, toJson} from './python/text.js';

/** The parameters after the value, as `bind` takes them, and what the filter returns. */
export type Filter = [parameters: string, run: (value: Value, ...given: (Value | undefined)[]) => Value];

const WORD_BREAKS = new RegExp(`([-({\\[<${PYTHON_SPACE}]+)`);

/** Each word with its first letter large. Words begin after blanks, hyphens and opening brackets. */
function titleWords(value: Value): string {
  return textOf(value)
    .split(WORD_BREAKS)
    .map((word) => {
      const [first = '', ...rest] = charactersOf(word);
      return first.toUpperCase() + rest.join('').toLowerCase();
    })
    .join('');
}

function textNeeded(value: Value): string {
  if (value instanceof Undefined) value.fail();
  if (typeof value !== 'string') throw typeError(`expected a str but got ${typeName(value)}`);
  return value;
}

function indent(value: Value, width: Value = 4n, first: Value = false, blank: Value = false): Value {
  const indention = typeof width === 'string' ? width : ' '.repeat(Math.max(0, sizeOf(width)));
  const all = lines(`${textNeeded(value)}\n`, false);
  const indented = all.map((line, i) => (i > 0 && (line !== '' || isTrue(blank)) ? indention + line : line));
  return (isTrue(first) ? indention : '') + indented.join('\n');
}

function truncate(
  value: Value,
  length: Value = 255n,
  killWords: Value = false,
  end: Value = '...',
  leeway: Value = null,
): Value {
  const mark = textNeeded(end);
  const most = sizeOf(length);
  const slack = leeway === null ? 5 : sizeOf(leeway);
  if (most < textLength(mark) || slack < 0)
    throw new TemplateError('truncate: length or leeway is too small');
  if ((lengthOf(value) ?? Infinity) <= most + slack) return value;
  const characters = charactersOf(textNeeded(value));
  const kept = characters.slice(0, most - textLength(mark)).join('');
  if (isTrue(killWords)) return kept + mark;
  const blank = kept.lastIndexOf(' ');
  return (blank < 0 ? kept : kept.slice(0, blank)) + mark;
}

const INTEGER = new RegExp(
  `^[${PYTHON_SPACE}]*([-+]?)(?:0([xob]))?_?([\\da-z]+(?:_[\\da-z]+)*)[${PYTHON_SPACE}]*$`,
  'i',
);
const PREFIXES: Record<string, number> = {b: 2, o: 8, x: 16};

/** Python's `int(text, base)`; undefined where it would raise. */
function parseWhole(text: string, base: number): bigint | undefined {
  const [, sign, letter, digits] = INTEGER.exec(text) ?? [];
  if (digits === undefined) return undefined;
  let written = digits.replaceAll('_', '').toLowerCase();
  if (written.length > MOST_DIGITS) return undefined;
  let used = base;
  if (letter) {
    const own = PREFIXES[letter.toLowerCase()];
    if (base === 0 || base === own) used = own;
    else written = `0${letter.toLowerCase()}${written}`;
  } else if (base === 0) {
    used = 10;
    if (/^0+[1-9]/.test(written)) return undefined;
  }
  let whole = 0n;
  for (const digit of written) {
    const value = parseInt(digit, 36);
    if (!(value < used)) return undefined;
    whole = whole * BigInt(used) + BigInt(value);
  }
  return sign === '-' ? -whole : whole;
}

/** Python's `float(text)`; undefined where it would raise. */
function parseFloatText(text: string): number | undefined {
  const written = strip(text, 'both');
  const special = /^([-+]?)(inf|infinity|nan)$/i.exec(written);
  if (special) return (special[2].toLowerCase() === 'nan' ? NaN : Infinity) * (special[1] === '-' ? -1 : 1);
  if (!/^[-+]?(\d+(_\d+)*\.?(\d+(_\d+)*)?|\.\d+(_\d+)*)(e[-+]?\d+(_\d+)*)?$/i.test(written)) return undefined;
  return Number(written.replaceAll('_', ''));
}

function floatOf(value: Value): number | undefined {
  if (value instanceof Undefined) value.fail();
  if (typeof value === 'string') return parseFloatText(value);
  return isNumber(value) ? toFloat(numberOf(value)) : undefined;
}

function toWhole(value: Value, otherwise: Value = 0n, base: Value = 10n): Value {
  if (value instanceof Undefined) value.fail();
  if (typeof value === 'bigint' || typeof value === 'boolean') return BigInt(value);
  const whole = typeof value === 'string' ? parseWhole(value, sizeOf(base)) : undefined;
  if (whole !== undefined) return whole;
  if (value === Infinity || value === -Infinity)
    throw new TemplateError('cannot convert float infinity to integer');
  const float = floatOf(value);
  return float === undefined || !Number.isFinite(float) ? otherwise : BigInt(Math.trunc(float));
}

function rounded(value: Value, precision: Value = 0n, method: Value = 'common'): Value {
  if (value instanceof Undefined) value.fail();
  if (!isNumber(value)) throw typeError(`type ${typeName(value)} doesn't define __round__ method`);
  const digits = sizeOf(precision);
  const number = numberOf(value);
  if (method === 'common') {
    if (typeof number !== 'bigint') return round(number, digits);
    if (digits >= 0) return number;
    const unit = 10n ** BigInt(-digits);
    const below = ((number % unit) + unit) % unit;
    const floor = number - below;
    const up = 2n * below > unit || (2n * below === unit && (floor / unit) % 2n !== 0n);
    return up ? floor + unit : floor;
  }
  if (method !== 'ceil' && method !== 'floor')
    throw new TemplateError('method must be common, ceil or floor');
  const scale = binary('**', 10n, BigInt(digits));
  const scaled = binary('*', number, scale);
  const whole = typeof scaled === 'bigint' ? scaled : BigInt(Math[method](scaled as number));
  return binary('/', whole, scale);
}

const UNITS = ['k', 'M', 'G', 'T', 'P', 'E', 'Z', 'Y'];

function fileSize(value: Value, inBinary: Value = false): Value {
  const bytes = floatOf(value);
  if (bytes === undefined) throw typeError('filesizeformat needs a number');
  const base = isTrue(inBinary) ? 1024 : 1000;
  if (bytes === 1) return '1 Byte';
  if (bytes < base) return `${BigInt(Math.trunc(bytes))} Bytes`;
  const at = Math.min(UNITS.length - 1, UNITS.findIndex((_, i) => bytes < base ** (i + 2)) >>> 0);
  const name = isTrue(inBinary) ? `${UNITS[at].toUpperCase()}iB` : `${UNITS[at]}B`;
  return `${fixed((base * bytes) / base ** (at + 2), 1)} ${name}`;
}

function absolute(value: Value): Value {
  if (value instanceof Undefined) value.fail();
  if (!isNumber(value)) throw typeError(`bad operand type for abs(): '${typeName(value)}'`);
  const number = numberOf(value);
  if (typeof number === 'bigint') return number < 0n ? -number : number;
  return Math.abs(number);
}

/** Percent-encodes all but letters, digits, `_.-~` and `safe`. */
function quoteUrl(value: Value, safe: string): string {
  return Array.from(new TextEncoder().encode(textOf(value)), (byte) => {
    const character = String.fromCharCode(byte);
    if (byte < 128 && (/[\w.~-]/.test(character) || safe.includes(character))) return character;
    return `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }).join('');
}

function urlEncode(value: Value): Value {
  if (typeof value === 'string' || isNumber(value) || value === null) return quoteUrl(value, '/');
  const pairs =
    value instanceof Dict ? value.items() : Array.from(iterate(value), (pair) => [...iterate(pair)]);
  const inQuery = (one: Value) => quoteUrl(one, '').replaceAll('%20', '+');
  return pairs.map(([key, one]) => `${inQuery(key)}=${inQuery(one)}`).join('&');
}

const HTML: Record<string, string> = {'&': '&amp;', '<': '&lt;', '>': '&gt;', "'": '&#39;', '"': '&#34;'};
/** A text whose special characters of HTML are spelt out. check.ts lets it only be written, not worked with. */
const escape = (value: Value): Value => textOf(value).replace(/[&<>'"]/g, (mark) => HTML[mark]);

export const TEXT_FILTERS: Record<string, Filter> = {
  abs: ['', absolute],
  capitalize: ['', (value) => capitalize(textOf(value))],
  center: ['width=', (value, width = 80n) => center(textOf(value), width)],
  e: ['', escape],
  escape: ['', escape],
  filesizeformat: ['binary=', fileSize],
  float: ['default=', (value, otherwise = 0) => floatOf(value) ?? otherwise],
  forceescape: ['', escape],
  indent: ['width= first= blank=', indent],
  int: ['default= base=', toWhole],
  lower: ['', (value) => textOf(value).toLowerCase()],
  replace: [
    'old new count=',
    (value, old, by, most = null) => {
      const times = most === null ? Infinity : sizeOf(most);
      return replace(textOf(value), textOf(old!), textOf(by!), times < 0 ? Infinity : times);
    },
  ],
  round: ['precision= method=', rounded],
  safe: ['', (value) => textOf(value)],
  string: ['', (value) => textOf(value)],
  title: ['', titleWords],
  tojson: [
    'ensure_ascii= indent= separators= sort_keys=',
    (value, ascii = false, step = null, separators = null, sortKeys = false) =>
      toJson(value, jsonForm(ascii, step, separators, sortKeys)),
  ],
  trim: [
    'chars=',
    (value, characters = null) =>
      strip(textOf(value), 'both', characters === null ? undefined : textNeeded(characters)),
  ],
  truncate: ['length= killwords= end= leeway=', truncate],
  upper: ['', (value) => textOf(value).toUpperCase()],
  urlencode: ['', urlEncode],
  wordcount: ['', (value) => BigInt(textOf(value).match(/[\p{L}\p{N}_]+/gu)?.length ?? 0)],
};

/** `'%s' | format(value)`, which takes any arguments. */
export function formatFilter(value: Value, positional: readonly Value[], named: Named): Value {
  if (positional.length > 0 && named.size > 0)
    throw new TemplateError("can't handle positional and keyword arguments at the same time");
  return percentFormat(textOf(value), named.size > 0 ? new Dict(named) : new Tuple(positional));
}

/** All items of `value`. */
export const listOf = (value: Value): List => new List([...iterate(value)]);

/** Values as text: Python's `str` and `repr`, and the JSON of the filter `tojson`. */
import {isPrintable} from './characters.js';
import {sorted} from './order.js';
import {
  Dict,
  Instance,
  Iter,
  List,
  Range,
  TemplateError,
  Tuple,
  Undefined,
  View,
  charactersOf,
  isTrue,
  lengthOf,
  typeError,
  typeName,
  type Value,
} from './values.js';

/** The shortest text that reads as `value`, in the form that Python gives it. */
export function floatText(value: number): string {
  if (Number.isNaN(value)) return 'nan';
  if (!Number.isFinite(value)) return value < 0 ? '-inf' : 'inf';
  if (Object.is(value, -0)) return '-0.0';
  const [mantissa, power] = value.toExponential().split('e');
  const exponent = Number(power);
  if (exponent < -4 || exponent >= 16) {
    const digits = String(Math.abs(exponent)).padStart(2, '0');
    return `${mantissa}e${exponent < 0 ? '-' : '+'}${digits}`;
  }
  if (Number.isInteger(value)) return `${BigInt(value)}.0`;
  const fraction = mantissa.replace(/^-?\d\.?/, '').length - exponent;
  return value.toFixed(Math.max(1, fraction));
}

/** Python writes and reads no longer numbers. */
export const MOST_DIGITS = 4300;

export function wholeText(value: bigint): string {
  const text = value.toString();
  if (text.length - Number(value < 0n) > MOST_DIGITS)
    throw new TemplateError(`Exceeds the limit (${MOST_DIGITS} digits) for integer string conversion`);
  return text;
}

const QUOTED: Record<string, string> = {'\\': '\\\\', '\n': '\\n', '\r': '\\r', '\t': '\\t'};

/** A text as Python writes it in a list. */
export function quote(text: string): string {
  const mark = text.includes("'") && !text.includes('"') ? '"' : "'";
  const body = charactersOf(text).map((character) => {
    if (character === mark) return `\\${mark}`;
    if (character in QUOTED) return QUOTED[character];
    if (isPrintable(character)) return character;
    const code = character.codePointAt(0)!.toString(16);
    if (code.length <= 2) return `\\x${code.padStart(2, '0')}`;
    return code.length <= 4 ? `\\u${code.padStart(4, '0')}` : `\\U${code.padStart(8, '0')}`;
  });
  return mark + body.join('') + mark;
}

/**
 * A list or dict that must not become text. Content that is a list of parts is one: a template that expects a text
 * would put Python's notation of the list into the prompt.
 */
const unprintable = new WeakMap<object, string>();

/** Makes `textOf` throw `message` for `value`. */
export function forbidText(value: List | Dict, message: string): void {
  unprintable.set(value, message);
}

/**
 * Python's `repr`.
 * @throws TemplateError for a function or an iterator, whose text in Python is an address in memory
 */
export function repr(value: Value): string {
  if (typeof value === 'string') return quote(value);
  if (value === null) return 'None';
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  if (typeof value === 'bigint') return wholeText(value);
  if (typeof value === 'number') return floatText(value);
  if (value instanceof Undefined) return 'Undefined';
  const forbidden = unprintable.get(value);
  if (forbidden !== undefined) throw new TemplateError(forbidden);
  if (value instanceof List) return `[${value.items.map(repr).join(', ')}]`;
  if (value instanceof Tuple)
    return `(${value.items.map(repr).join(', ')}${value.items.length === 1 ? ',' : ''})`;
  if (value instanceof Dict) return `{${value.items().map(reprPair).join(', ')}}`;
  if (value instanceof View) return `${value.name}([${value.items.map(repr).join(', ')}])`;
  if (value instanceof Range)
    return `range(${value.start}, ${value.stop}${value.step === 1n ? '' : `, ${value.step}`})`;
  const text = value instanceof Iter ? undefined : value instanceof Instance ? value.text() : value.text;
  if (text === undefined) throw new TemplateError(`a ${typeName(value)} cannot be written as text`);
  return text;
}

const reprPair = ([key, value]: readonly [Value, Value]): string => `${repr(key)}: ${repr(value)}`;

/** Python's `str`, which is what `{{ value }}` writes. */
export function textOf(value: Value): string {
  if (typeof value === 'string') return value;
  return value instanceof Undefined ? '' : repr(value);
}

export interface JsonForm {
  ascii: boolean;
  /** What a level is indented by; undefined for one line. */
  indent?: string;
  itemSeparator: string;
  keySeparator: string;
  sortKeys: boolean;
}

function jsonText(text: string, ascii: boolean): string {
  // JSON.stringify spells out half surrogate pairs, which Python leaves in place.
  const escaped = text.replace(/["\\\p{Cc}]/gu, (character) => JSON.stringify(character).slice(1, -1));
  if (!ascii) return `"${escaped}"`;
  const spell = (unit: string) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
  return `"${escaped.replace(/[\x7f-\uffff]/g, (unit) => (unit === '\x7f' ? unit : spell(unit)))}"`;
}

function jsonAtom(value: Value): string | undefined {
  if (value === null) return 'null';
  if (typeof value === 'boolean') return String(value);
  if (typeof value === 'bigint') return wholeText(value);
  if (typeof value !== 'number') return undefined;
  if (Number.isNaN(value)) return 'NaN';
  return Number.isFinite(value) ? floatText(value) : `${value < 0 ? '-' : ''}Infinity`;
}

/** Python's `json.dumps`. */
export function toJson(value: Value, form: JsonForm, indented = '\n'): string {
  if (typeof value === 'string') return jsonText(value, form.ascii);
  const atom = jsonAtom(value);
  if (atom !== undefined) return atom;
  const inner = form.indent === undefined ? '' : indented + form.indent;
  const wrap = (open: string, parts: string[], close: string) => {
    if (parts.length === 0) return open + close;
    const end = form.indent === undefined ? '' : indented;
    return open + inner + parts.join(form.itemSeparator + inner) + end + close;
  };
  const nested = (one: Value) => toJson(one, form, inner || indented);
  if (value instanceof List || value instanceof Tuple) return wrap('[', value.items.map(nested), ']');
  if (value instanceof Dict) {
    const pairs = form.sortKeys
      ? sorted(value.keys(), (key) => key).map((key) => [key, value.get(key)!] as const)
      : value.items();
    return wrap(
      '{',
      pairs.map(([key, one]) => jsonKey(key, form.ascii) + form.keySeparator + nested(one)),
      '}',
    );
  }
  throw typeError(`Object of type ${typeName(value)} is not JSON serializable`);
}

function jsonKey(key: Value, ascii: boolean): string {
  if (typeof key === 'string') return jsonText(key, ascii);
  const atom = jsonAtom(key);
  if (atom === undefined) throw typeError(`keys must be str, int, float, bool or None, not ${typeName(key)}`);
  return `"${atom}"`;
}

/** The options of `json.dumps` from those of the filter `tojson`. */
export function jsonForm(ascii: Value, indent: Value, separators: Value, sortKeys: Value): JsonForm {
  let step: string | undefined;
  if (typeof indent === 'string') step = indent;
  else if (indent !== null) step = ' '.repeat(Math.max(0, Number(indent)));
  let [itemSeparator, keySeparator] = [step === undefined ? ', ' : ',', ': '];
  if (separators !== null) {
    if (!(separators instanceof List || separators instanceof Tuple) || lengthOf(separators) !== 2)
      throw typeError('separators must be a pair of texts');
    [itemSeparator, keySeparator] = separators.items.map(textOf);
  }
  return {ascii: isTrue(ascii), indent: step, itemSeparator, keySeparator, sortKeys: isTrue(sortKeys)};
}

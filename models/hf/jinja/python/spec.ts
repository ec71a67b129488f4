/** Python's `str.format`: fields in braces, with conversions and format specifications. */
import {asciiOf, floatDigits, MOST_WIDTH} from './percent.js';
import {floatText, repr, textOf, wholeText} from './text.js';
import {general} from './decimals.js';
import {
  TemplateError,
  charactersOf,
  isNumber,
  numberOf,
  textLength,
  toFloat,
  typeError,
  typeName,
  type Named,
  type Value,
} from './values.js';

const FIELD = /^([^!:[\].]*)((?:\.[^.[\]]+|\[[^\]]+\])*)$/;
const STEP = /\.([^.[\]]+)|\[([^\]]+)\]/g;
const SPECIFICATION = /^(?:(.)?([<>=^]))?([-+ ])?(z)?(#)?(0)?(\d+)?([,_])?(?:\.(\d+))?([a-zA-Z%])?$/su;

/** How a field's attributes and items are read: as the sandbox of templates reads them. */
export interface Access {
  attribute(value: Value, name: string): Value;
  item(value: Value, key: Value): Value;
}

/** Where the values of fields come from. */
interface Given {
  positional: readonly Value[];
  named: Named;
  access: Access;
  /** The number of the next field without a name; -1 once a field gave its number. */
  next: number;
}

export function formatText(
  format: string,
  positional: readonly Value[],
  named: Named,
  access: Access,
): string {
  return expand(format, {positional, named, access, next: 0}, 2);
}

function expand(format: string, given: Given, depth: number): string {
  if (depth < 0) throw new TemplateError('Max string recursion exceeded');
  let text = '';
  for (let at = 0; at < format.length;) {
    const brace = format[at];
    if (brace !== '{' && brace !== '}') {
      const end = /[{}]/g;
      end.lastIndex = at;
      const next = end.exec(format)?.index ?? format.length;
      text += format.slice(at, next);
      at = next;
    } else if (format[at + 1] === brace) {
      text += brace;
      at += 2;
    } else if (brace === '}') {
      throw new TemplateError("Single '}' encountered in format string");
    } else {
      const end = closing(format, at);
      text += field(format.slice(at + 1, end), given, depth);
      at = end + 1;
    }
  }
  return text;
}

function closing(format: string, open: number): number {
  for (let at = open + 1, depth = 1; at < format.length; at++) {
    if (format[at] === '{') depth++;
    else if (format[at] === '}' && --depth === 0) return at;
  }
  throw new TemplateError("expected '}' before end of string");
}

function field(text: string, given: Given, depth: number): string {
  // A colon inside brackets is part of a key.
  const [, path, conversion, specification = ''] =
    /^((?:\[[^\]]*\]|[^!:[])*)(?:!([^:]*))?(?::([\s\S]*))?$/.exec(text) ?? [];
  const parts = path === undefined ? null : FIELD.exec(path);
  if (!parts) throw new TemplateError(`the field {${text}} is malformed`);
  let value = valueOf(parts[1], given);
  for (const [, attribute, key] of parts[2].matchAll(STEP))
    value =
      attribute === undefined
        ? given.access.item(value, /^\d+$/.test(key) ? BigInt(key) : key)
        : given.access.attribute(value, attribute);
  const wanted = expand(specification, given, depth - 1);
  if (conversion === undefined) return formatValue(value, wanted);
  if (conversion === 's') return formatValue(textOf(value), wanted);
  if (conversion !== 'r' && conversion !== 'a')
    throw new TemplateError(`Unknown conversion specifier ${conversion}`);
  return formatValue(conversion === 'a' ? asciiOf(repr(value)) : repr(value), wanted);
}

function valueOf(name: string, given: Given): Value {
  if (name !== '' && !/^\d+$/.test(name)) {
    const value = given.named.get(name);
    if (value === undefined) throw new TemplateError(`KeyError: ${repr(name)}`);
    return value;
  }
  if (name === '' ? given.next < 0 : given.next > 0)
    throw new TemplateError('cannot switch between manual field specification and automatic field numbering');
  const index = name === '' ? given.next++ : Number(name);
  if (name !== '') given.next = -1;
  const value = given.positional[index];
  if (value === undefined)
    throw new TemplateError(`Replacement index ${index} out of range for positional args tuple`);
  return value;
}

interface Specification {
  fill?: string;
  align?: string;
  sign?: string;
  alternate: boolean;
  width: number;
  grouping?: string;
  precision?: number;
  type?: string;
}

/** Python's `format(value, specification)`. */
function formatValue(value: Value, specification: string): string {
  if (specification === '') return textOf(value);
  if (typeof value !== 'string' && !isNumber(value))
    throw typeError(`unsupported format string passed to ${typeName(value)}.__format__`);
  const match = SPECIFICATION.exec(specification);
  if (!match || match[4]) throw new TemplateError(`Invalid format specifier '${specification}'`);
  const [, fill, align, sign, , alternate, zero, width, grouping, precision, type] = match;
  if (Number(width ?? 0) > MOST_WIDTH || Number(precision ?? 0) > MOST_WIDTH)
    throw new TemplateError('a width or precision is too large');
  const spec: Specification = {
    fill: fill ?? (zero ? '0' : undefined),
    align: align ?? (zero ? (typeof value === 'string' ? '<' : '=') : undefined),
    sign,
    alternate: alternate !== undefined,
    width: Number(width ?? 0),
    grouping,
    precision: precision === undefined ? undefined : Number(precision),
    type,
  };
  const bad = () => new TemplateError(`Invalid format specifier '${specification}' for ${typeName(value)}`);
  if (typeof value === 'string') {
    if (sign || alternate || grouping || spec.align === '=' || (type && type !== 's')) throw bad();
    const text = spec.precision === undefined ? value : charactersOf(value).slice(0, spec.precision).join('');
    return aligned('', text, spec, '<');
  }
  const number = numberOf(value);
  if (typeof number === 'bigint' && (type === undefined || 'bcdnoxX'.includes(type))) {
    if (spec.precision !== undefined) throw bad();
    return whole(number, spec, bad);
  }
  if (type !== undefined && !'eEfFgGn%'.includes(type)) throw bad();
  if (grouping && type === 'n') throw bad();
  return float(toFloat(number), spec);
}

function whole(value: bigint, spec: Specification, bad: () => Error): string {
  const {type = 'd'} = spec;
  if (type === 'c') {
    if (spec.sign || spec.alternate || spec.grouping || value < 0n || value > 0x10ffffn) throw bad();
    return aligned('', String.fromCodePoint(Number(value)), spec, '<');
  }
  const base = {b: 2, o: 8, x: 16, X: 16}[type] ?? 10;
  if (spec.grouping === ',' && base !== 10) throw bad();
  if (spec.grouping && type === 'n') throw bad();
  const size = value < 0n ? -value : value;
  let digits = base === 10 ? wholeText(size) : size.toString(base);
  if (type === 'X') digits = digits.toUpperCase();
  const sign = signOf(value < 0n, spec) + (spec.alternate && base !== 10 ? `0${type}` : '');
  return aligned(sign, grouped(digits, '', sign, spec, base === 10 ? 3 : 4), spec, '>');
}

function signOf(isNegative: boolean, {sign = '-'}: Specification): string {
  if (isNegative) return '-';
  return sign === '-' ? '' : sign;
}

function float(value: number, spec: Specification): string {
  const {type, precision, alternate} = spec;
  const sign = signOf(value < 0 || Object.is(value, -0), spec);
  let digits: string;
  if (!Number.isFinite(value)) digits = floatDigits(value, type && /[A-Z]/.test(type) ? 'F' : 'f', 0, false);
  else if (type === '%') digits = floatDigits(value * 100, 'f', precision ?? 6, alternate);
  else if (type !== undefined)
    digits = floatDigits(value, type === 'n' ? 'g' : type, precision ?? 6, alternate);
  else if (precision === undefined) digits = floatText(Math.abs(value));
  else {
    // No type is g, but with a digit after the point and the exponent one power of ten earlier.
    digits = general(value, Math.max(1, precision), alternate, Math.max(1, precision) - 1);
    if (!/[.e]/.test(digits)) digits += '.0';
  }
  if (type === '%') digits += '%';
  const [, before, after] = /^(\d*)(.*)$/.exec(digits)!;
  return aligned(sign, grouped(before, after, sign, spec, 3), spec, '>');
}

/** Digits in groups. Zeros that fill the width are grouped too. */
function grouped(before: string, after: string, sign: string, spec: Specification, size: number): string {
  const {grouping, width} = spec;
  if (grouping === undefined || before === '') return before + after;
  const group = (digits: string) => digits.replace(new RegExp(`\\B(?=(?:.{${size}})+$)`, 'g'), grouping);
  let digits = before;
  if (spec.fill === '0' && spec.align === '=')
    while (sign.length + group(digits).length + after.length < width) digits = `0${digits}`;
  return group(digits) + after;
}

function aligned(sign: string, body: string, spec: Specification, natural: string): string {
  const {fill = ' ', align = natural, width} = spec;
  const missing = Math.max(0, width - textLength(sign + body));
  if (align === '=') return sign + fill.repeat(missing) + body;
  const left = align === '<' ? 0 : align === '>' ? missing : Math.floor(missing / 2);
  return fill.repeat(left) + sign + body + fill.repeat(missing - left);
}

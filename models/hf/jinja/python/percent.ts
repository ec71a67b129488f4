/** Python's `%` formatting of texts: `'%s: %05.2f' % (name, value)`. */
import {exponential, fixed, general} from './decimals.js';
import {repr, textOf, wholeText} from './text.js';
import {
  Dict,
  List,
  Range,
  TemplateError,
  Tuple,
  Undefined,
  charactersOf,
  firstOf,
  intOf,
  isNumber,
  numberOf,
  sizeOf,
  toFloat,
  typeError,
  typeName,
  type Value,
} from './values.js';

const SPECIFIER = /%(?:\(((?:[^()]|\([^()]*\))*)\))?([-+ #0]*)(\*|\d+)?(?:\.(\*|\d*))?[hlL]?([\s\S]?)/gu;
/** Wider fields are refused. */
export const MOST_WIDTH = 2 ** 20;

export interface Digits {
  sign: string;
  /** 0x and the like. */
  prefix: string;
  digits: string;
}

/** A float without its sign, in the notation that the letter `type` names. */
export function floatDigits(value: number, type: string, precision: number, alternate: boolean): string {
  const lower = type.toLowerCase();
  let text: string;
  if (!Number.isFinite(value)) text = Number.isNaN(value) ? 'nan' : 'inf';
  else if (lower === 'f') text = fixed(value, precision) + (alternate && precision === 0 ? '.' : '');
  else if (lower === 'e') text = exponential(value, precision, alternate);
  else text = general(value, precision, alternate);
  return type === lower ? text : text.toUpperCase();
}

/** Takes the values of one format in turn, or by name from a dict. */
class Source {
  private at = 0;
  private readonly values: readonly Value[];
  private named = false;

  constructor(private readonly given: Value) {
    this.values = given instanceof Tuple ? given.items : [given];
  }

  next(): Value {
    if (this.at >= this.values.length || this.named)
      throw typeError('not enough arguments for format string');
    return this.values[this.at++];
  }

  byName(name: string): Value {
    if (!(this.given instanceof Dict)) throw typeError('format requires a mapping');
    this.named = true;
    const value = this.given.get(name);
    if (value === undefined) throw new TemplateError(`KeyError: ${repr(name)}`);
    return value;
  }

  end(): void {
    const {given} = this;
    // What has items by key may be left over, if it is not used by number.
    const isMapping = given instanceof Dict || given instanceof List || given instanceof Range;
    if (this.at < this.values.length && !this.named && !(isMapping || given instanceof Undefined))
      throw typeError('not all arguments converted during string formatting');
  }
}

export function percentFormat(format: string, given: Value): string {
  const source = new Source(given);
  const text = format.replace(
    SPECIFIER,
    (
      _all,
      name: string | undefined,
      flags: string,
      width: string | undefined,
      precision: string | undefined,
      type: string,
    ) => {
      if (type === '') throw new TemplateError('incomplete format');
      const plain = name === undefined && flags === '' && width === undefined && precision === undefined;
      if (type === '%' && plain) return '%';
      const byName = name === undefined ? undefined : source.byName(name);
      let minus = flags.includes('-');
      let wide = width === '*' ? sizeOf(source.next()) : Number(width ?? 0);
      if (wide < 0) [minus, wide] = [true, -wide];
      const exact = precision === '*' ? sizeOf(source.next()) : precision && Number(precision);
      const limit = precision === undefined ? undefined : Math.max(0, exact || 0);
      if (wide > MOST_WIDTH || (limit ?? 0) > MOST_WIDTH)
        throw new TemplateError('width or precision too big');
      if (type === '%') throw new TemplateError("unsupported format character '%'");
      return pad(
        convert(
          type,
          firstOf(byName, () => source.next()),
          flags,
          limit,
        ),
        wide,
        minus,
        flags.includes('0'),
      );
    },
  );
  source.end();
  return text;
}

function pad(number: Digits | string, width: number, left: boolean, zeros: boolean): string {
  const {sign, prefix, digits} = typeof number === 'string' ? {sign: '', prefix: '', digits: number} : number;
  const missing = Math.max(0, width - charactersOf(sign + prefix + digits).length);
  if (left) return sign + prefix + digits + ' '.repeat(missing);
  if (zeros && typeof number !== 'string') return sign + prefix + '0'.repeat(missing) + digits;
  return ' '.repeat(missing) + sign + prefix + digits;
}

function convert(type: string, value: Value, flags: string, precision: number | undefined): Digits | string {
  const alternate = flags.includes('#');
  switch (type) {
    case 's':
    case 'r':
    case 'a': {
      let text = type === 's' ? textOf(value) : repr(value);
      if (type === 'a') text = asciiOf(text);
      return precision === undefined ? text : charactersOf(text).slice(0, precision).join('');
    }
    case 'c':
      if (typeof value === 'string' && charactersOf(value).length === 1) return value;
      if (typeof value !== 'bigint' && typeof value !== 'boolean') throw typeError('%c requires int or char');
      if (BigInt(value) < 0n || BigInt(value) > 0x10ffffn)
        throw new TemplateError('%c arg not in range(0x110000)');
      return String.fromCodePoint(Number(value));
  }
  const signOf = (isNegative: boolean) =>
    isNegative ? '-' : flags.includes('+') ? '+' : flags.includes(' ') ? ' ' : '';
  if ('diuoxX'.includes(type)) {
    const whole = wholeOf(type, value);
    const [base, prefix] = {o: [8, '0o'] as const, x: [16, '0x'] as const, X: [16, '0X'] as const}[type] ?? [
      10,
      '',
    ];
    const size = whole < 0n ? -whole : whole;
    const text = (base === 10 ? wholeText(size) : size.toString(base)).padStart(precision ?? 0, '0');
    const digits = type === 'X' ? text.toUpperCase() : text;
    return {sign: signOf(whole < 0n), prefix: alternate ? prefix : '', digits};
  }
  if ('eEfFgG'.includes(type)) {
    if (value instanceof Undefined) value.fail();
    if (!isNumber(value)) throw typeError(`must be real number, not ${typeName(value)}`);
    const float = toFloat(numberOf(value));
    const digits = floatDigits(float, type, precision ?? 6, alternate);
    return {sign: signOf(float < 0 || Object.is(float, -0)), prefix: '', digits};
  }
  throw new TemplateError(`unsupported format character '${type}'`);
}

/** The int that %d and the like write; %d takes a float too. */
function wholeOf(type: string, value: Value): bigint {
  if (value instanceof Undefined) value.fail();
  if (typeof value === 'number' && 'diu'.includes(type)) {
    if (!Number.isFinite(value)) throw new TemplateError('cannot convert float to integer');
    return BigInt(Math.trunc(value));
  }
  if (!isNumber(value) || typeof value === 'number')
    throw typeError(`%${type} format: an integer is required, not ${typeName(value)}`);
  return intOf(value);
}

/** `text` with what is beyond ASCII spelt out. */
export function asciiOf(text: string): string {
  return text.replace(/[^\0-\x7f]/gu, (character) => {
    const code = character.codePointAt(0)!;
    if (code < 0x100) return `\\x${code.toString(16)}`;
    return code < 0x10000
      ? `\\u${code.toString(16).padStart(4, '0')}`
      : `\\U${code.toString(16).padStart(8, '0')}`;
  });
}

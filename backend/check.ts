/**
 * How every argument is checked: rules that a value must hold, and errors of one form, `[caller] name must be EXPECTED
 * but is VALUE`. The ops' tensor checks, the options of `generate` and its like, and the fields of JSON files build on
 * this file.
 */

/** What a value may be: a test of the value, and the same in words that follow "must be". */
export type Check = readonly [holds: (value: unknown) => boolean, expected: string];

/** The largest int32. Counts, sizes, positions and tokens are int32 on devices. */
export const MOST_COUNT = 2 ** 31 - 1;

export const FLAG: Check = [(value) => typeof value === 'boolean', 'true or false'];

export const TEXT: Check = [(value) => typeof value === 'string', 'a text'];

/** A whole number from `least` to `most`. */
export const whole = (least: number, most = Number.MAX_SAFE_INTEGER): Check => [
  (value) => Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most,
  most === Number.MAX_SAFE_INTEGER ? `a whole number >= ${least}` : `a whole number from ${least} to ${most}`,
];

/** One of these texts. */
export const oneOf = (...names: string[]): Check => [
  (value) => names.includes(value as string),
  `one of ${names.map((name) => `'${name}'`).join(', ')}`,
];

/** A finite number for which `holds` is true. */
export const real = (holds: (value: number) => boolean, expected: string): Check => [
  (value) => typeof value === 'number' && Number.isFinite(value) && holds(value),
  expected,
];

/** The error for a value that is not as expected. `absent` is the word for undefined. */
export function mustBe(what: string, expected: string, value: unknown, absent?: string): Error {
  return new Error(`${what} must be ${expected} but is ${show(value, absent)}`);
}

/** @throws Error `[caller] name must be EXPECTED but is VALUE`, always */
export function refuse(caller: string, name: string, expected: string, value: unknown): never {
  throw mustBe(`[${caller}] ${name}`, expected, value);
}

/**
 * Checks one argument. This costs a test and no allocation where the value is right, since ops do it at every call.
 * @throws Error where the value breaks the rule
 */
export function checkValue(caller: string, name: string, value: unknown, rule: Check): void {
  if (!rule[0](value)) refuse(caller, name, rule[1], value);
}

/** @throws Error where `options` is no object, or has an option that does not exist */
export function checkNames(caller: string, options: object, names: readonly string[]): void {
  if (typeof options !== 'object' || options === null)
    throw new Error(`[${caller}] options must be an object but are ${show(options)}`);
  const unknown = Object.keys(options).find((name) => !names.includes(name));
  if (unknown !== undefined)
    throw new Error(`[${caller}] there is no option '${unknown}'; the options are ${names.join(', ')}`);
}

/** @throws Error where `values` is no list, is empty, or has an element that breaks the rule */
export function checkList(caller: string, what: string, values: unknown, [holds, expected]: Check): void {
  const fail = (received: string): never => {
    throw new Error(`[${caller}] ${what} must be a list of one or more, each ${expected}, but ${received}`);
  };
  if (!Array.isArray(values) || values.length === 0) return fail(`is ${show(values)}`);
  const wrong = values.findIndex((value) => !holds(value));
  if (wrong >= 0) fail(`one is ${show(values[wrong])}`);
}

/** Characters, or elements of a list, that an error shows of a value. */
const SHOWN = 60;

/** Any value as an error shows it: as JSON where that exists, and only the beginning of a long one. */
export function show(value: unknown, absent = 'undefined'): string {
  if (value === undefined) return absent;
  if (typeof value === 'number') return String(value); // JSON has no NaN and no infinity
  if (Array.isArray(value) && value.length > SHOWN) return `a list of ${value.length}`;
  const text = inWords(typeof value === 'string' ? value.slice(0, SHOWN) : value);
  return text.length > SHOWN ? `${text.slice(0, SHOWN - 3)}...` : text;
}

function inWords(value: unknown): string {
  try {
    return (JSON.stringify(value) as string | undefined) ?? String(value as symbol);
  } catch {
    return typeof value === 'bigint' ? `${value}` : 'an object that is no JSON';
  }
}

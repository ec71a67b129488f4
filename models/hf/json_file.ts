/** Reads JSON files and checks their fields. Errors name the file, the field, what was expected and what came. */
import {readFileSync, statSync} from 'node:fs';

import {FLAG, MOST_COUNT, mustBe, real, TEXT, whole} from '../../backend/check.js';
import {danglingTarget, foreignKind} from './foreign_file.js';

type JsonObject = Record<string, unknown>;

/** The deepest nesting that is accepted. No model's files reach it, and much deeper values overflow the stack of code that walks them. */
const MOST_NESTED = 64;

const POSITIVE = real((value) => value > 0, 'a number > 0');

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * The object that JSON text in UTF-8 stands for.
 * @param what the text is, for errors: a file's name, or a file's part
 * @throws Error where it is not UTF-8, no JSON object, or nested too deep. Of a name that an object gives twice the last
 *     value counts, as in Python.
 */
export function parseJsonObject(what: string, bytes: Uint8Array): JsonObject {
  let text: string;
  let value: unknown;
  try {
    text = new TextDecoder('utf-8', {fatal: true}).decode(bytes);
    value = JSON.parse(text);
  } catch (error) {
    const kind = foreignKind(bytes);
    const reason = kind === undefined ? `: ${(error as Error).message}` : ` but is ${kind}`;
    throw new Error(`${what} must be JSON${reason}`, {cause: error});
  }
  checkDepth(what, text);
  if (!isObject(value)) throw mustBe(what, 'a JSON object', value);
  return value;
}

/** Checks how deep the brackets of valid JSON are nested. */
function checkDepth(what: string, text: string): void {
  let depth = 0;
  for (const {0: token, index} of text.matchAll(/"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\]]/g)) {
    if (token === '}' || token === ']') depth--;
    else if ((token === '{' || token === '[') && ++depth > MOST_NESTED)
      throw new Error(`${what} must be nested ${MOST_NESTED} deep at most but is deeper at ${index}`);
  }
}

/** The object that `file` holds. */
export function readJsonObject(file: string): JsonObject {
  let bytes: Uint8Array;
  try {
    if (!statSync(file).isFile()) throw new Error('it is no file'); // reading a pipe would wait for its writer
    bytes = readFileSync(file);
  } catch (error) {
    const target = danglingTarget(file);
    const reason =
      target === undefined ? (error as Error).message : `it is a link to ${target}, which is not there`;
    throw new Error(`${file}: cannot be read: ${reason}`, {cause: error});
  }
  return parseJsonObject(`${file}:`, bytes);
}

/** Checked access to the fields of a JSON object. A field that is null counts as missing, as in Hugging Face's configs. */
export class Fields {
  constructor(
    readonly file: string,
    readonly values: JsonObject,
    private readonly prefix = '',
  ) {}

  static read(file: string): Fields {
    return new Fields(file, readJsonObject(file));
  }

  has(name: string): boolean {
    return this.values[name] !== undefined && this.values[name] !== null;
  }

  /** The error to throw where `name` is not as `expected`. */
  error(name: string, expected: string): Error {
    return mustBe(`${this.file}: ${this.prefix}${name}`, expected, this.values[name], 'missing');
  }

  get<T>(name: string, expected: string, holds: (value: unknown) => boolean, missing?: T): T {
    if (!this.has(name) && missing !== undefined) return missing;
    if (!holds(this.values[name])) throw this.error(name, expected);
    return this.values[name] as T;
  }

  /** Sizes, positions and tokens are int32 on devices: 2^31 - 1 is the most. */
  whole(name: string, least: number, missing?: number): number {
    const value = this.values[name];
    const isLarge = typeof value === 'number' && value > MOST_COUNT;
    const expected = isLarge ? `at most ${MOST_COUNT}` : `a whole number >= ${least}`;
    return this.get(name, expected, whole(least, MOST_COUNT)[0], missing);
  }

  positive(name: string, missing?: number): number {
    return this.get(name, POSITIVE[1], POSITIVE[0], missing);
  }

  flag(name: string, missing?: boolean): boolean {
    return this.get(name, FLAG[1], FLAG[0], missing);
  }

  text(name: string, missing?: string): string {
    return this.get(name, TEXT[1], TEXT[0], missing);
  }

  object(name: string): Fields | undefined {
    if (!this.has(name)) return undefined;
    return new Fields(this.file, this.get(name, 'an object', isObject), `${this.prefix}${name}.`);
  }

  /** The objects of a list. */
  objects(name: string): Fields[] {
    return this.list<JsonObject>(name, 'a list of objects', isObject).map(
      (values, i) => new Fields(this.file, values, `${this.prefix}${name}.${i}.`),
    );
  }

  list<T>(name: string, expected: string, holds: (element: unknown) => boolean): T[] {
    return this.get(name, expected, (value) => Array.isArray(value) && value.every(holds));
  }
}

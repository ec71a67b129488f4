/** JSON files whose errors name the file, the field, what was expected and what came. */
import {readFileSync} from 'node:fs';

type JsonObject = Record<string, unknown>;

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function show(value: unknown): string {
  if (value === undefined) return 'missing';
  const text = JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

/** The object that `file` holds. */
export function readJsonObject(file: string): JsonObject {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new Error(`${file}: cannot be read: ${(error as Error).message}`, {cause: error});
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new Error(`${file}: must be JSON: ${(error as Error).message}`, {cause: error});
  }
  if (!isObject(value)) throw new Error(`${file}: must hold a JSON object but holds ${show(value)}`);
  return value;
}

/** Checked access to the fields of a JSON object. A field that is null counts as missing, as in Hugging Face's configs. */
export class Fields {
  constructor(
    private readonly file: string,
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
    return new Error(
      `${this.file}: ${this.prefix}${name} must be ${expected} but is ${show(this.values[name])}`,
    );
  }

  get<T>(name: string, expected: string, holds: (value: unknown) => boolean, missing?: T): T {
    if (!this.has(name) && missing !== undefined) return missing;
    if (!holds(this.values[name])) throw this.error(name, expected);
    return this.values[name] as T;
  }

  whole(name: string, least: number, missing?: number): number {
    const holds = (value: unknown) => Number.isSafeInteger(value) && (value as number) >= least;
    return this.get(name, `a whole number >= ${least}`, holds, missing);
  }

  positive(name: string, missing?: number): number {
    const holds = (value: unknown) => Number.isFinite(value) && (value as number) > 0;
    return this.get(name, 'a number > 0', holds, missing);
  }

  flag(name: string, missing: boolean): boolean {
    return this.get(name, 'true or false', (value) => typeof value === 'boolean', missing);
  }

  text(name: string, missing?: string): string {
    return this.get(name, 'a text', (value) => typeof value === 'string', missing);
  }

  object(name: string): Fields | undefined {
    if (!this.has(name)) return undefined;
    return new Fields(this.file, this.get(name, 'an object', isObject), `${this.prefix}${name}.`);
  }

  list<T>(name: string, expected: string, holds: (element: unknown) => boolean): T[] {
    return this.get(name, expected, (value) => Array.isArray(value) && value.every(holds));
  }
}

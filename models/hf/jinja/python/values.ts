/**
 * The values of a Jinja template, which are Python's: an int is a bigint, a float is a number, a str is a string whose
 * characters are code points, None is null. What a comparison, a loop or a condition makes of them is Python's too.
 */

/** What Python would raise, or Jinja2's own error. */
export class TemplateError extends Error {}

export class List {
  constructor(readonly items: readonly Value[]) {}
}

export class Tuple {
  constructor(
    readonly items: readonly Value[],
    /** Names of the first items, in a named tuple. */
    readonly names: readonly string[] = [],
  ) {}
}

/** A dict: its values by their key's hash, in the order in which the keys came. */
export class Dict {
  private readonly entries = new Map<unknown, readonly [Value, Value]>();

  constructor(entries: Iterable<readonly [Value, Value]> = []) {
    for (const [key, value] of entries) this.set(key, value);
  }

  get size(): number {
    return this.entries.size;
  }

  /** As in Python, a key that is there already stays as it was written first. */
  private set(key: Value, value: Value): void {
    const hash = hashOf(key);
    this.entries.set(hash, [this.entries.get(hash)?.[0] ?? key, value]);
  }

  get(key: Value): Value | undefined {
    return this.entries.get(hashOf(key))?.[1];
  }

  items(): (readonly [Value, Value])[] {
    return [...this.entries.values()];
  }

  keys(): Value[] {
    return this.items().map(([key]) => key);
  }
}

export class Range {
  readonly length: number;

  constructor(
    readonly start: bigint,
    readonly stop: bigint,
    readonly step: bigint,
  ) {
    const span = step > 0n ? stop - start + step - 1n : start - stop - step - 1n;
    const count = span / (step > 0n ? step : -step);
    this.length = count > 0n ? Number(count) : 0;
  }

  at(index: number): bigint {
    return this.start + BigInt(index) * this.step;
  }
}

/** What `keys()`, `values()` and `items()` of a dict return: it has a length but no items by number. */
export class View {
  constructor(
    readonly name: 'dict_keys' | 'dict_values' | 'dict_items',
    readonly items: readonly Value[],
  ) {}
}

/** A generator or another iterator: it gives its items once, is true and has no length. */
export class Iter {
  constructor(
    readonly name: string,
    readonly iterator: Iterator<Value>,
  ) {}
}

export type Named = Map<string, Value>;

/** The first that is there. None, which is null, counts as there; so `??` does not do. */
export function firstOf<T extends Value | undefined>(
  value: Value | undefined,
  otherwise: () => T,
): Value | T {
  return value === undefined ? otherwise() : value;
}

/** A function, a method or a macro. */
export class Callable {
  constructor(
    readonly name: string,
    readonly call: (positional: readonly Value[], named: Named) => Value,
    /** How Python writes it; undefined if that would tell where in memory it is. */
    readonly text?: string,
    readonly attributes?: Named,
  ) {}
}

/** An object with attributes: a namespace, the variable `loop` and the like. */
export abstract class Instance {
  abstract readonly typeName: string;
  abstract get(attribute: string): Value | undefined;
  /** How Python writes it; undefined if that would tell where in memory it is. */
  abstract text(): string | undefined;
  call?(positional: readonly Value[], named: Named): Value;
}

/** What a name stands for that has no value. Most operations on it throw its message. */
export class Undefined {
  constructor(readonly message: string) {}

  fail(): never {
    throw new TemplateError(this.message);
  }
}

export type Value =
  | null
  | boolean
  | bigint
  | number
  | string
  | List
  | Tuple
  | Dict
  | Range
  | View
  | Iter
  | Callable
  | Instance
  | Undefined;

const NAMES: [new (...given: never[]) => object, string][] = [
  [List, 'list'],
  [Tuple, 'tuple'],
  [Dict, 'dict'],
  [Range, 'range'],
  [Undefined, 'Undefined'],
  [Callable, 'function'],
];

/** Python's name of the type of `value`. */
export function typeName(value: Value): string {
  if (value === null) return 'NoneType';
  switch (typeof value) {
    case 'boolean':
      return 'bool';
    case 'bigint':
      return 'int';
    case 'number':
      return 'float';
    case 'string':
      return 'str';
  }
  if (value instanceof View || value instanceof Iter) return value.name;
  if (value instanceof Instance) return value.typeName;
  return NAMES.find(([type]) => value instanceof type)![1];
}

export function typeError(what: string): TemplateError {
  return new TemplateError(what);
}

export const isNumber = (value: Value): value is boolean | bigint | number =>
  typeof value === 'boolean' || typeof value === 'bigint' || typeof value === 'number';

/** bool is an int. */
export const numberOf = (value: boolean | bigint | number): bigint | number =>
  typeof value === 'boolean' ? BigInt(value) : value;

/** An int as a float. */
export function toFloat(value: bigint | number): number {
  const float = Number(value);
  if (typeof value === 'bigint' && !Number.isFinite(float))
    throw new TemplateError('int too large to convert to float');
  return float;
}

/** The int that a parameter or an index must be. */
export function intOf(value: Value): bigint {
  if (value instanceof Undefined) value.fail();
  if (typeof value !== 'bigint' && typeof value !== 'boolean')
    throw typeError(`'${typeName(value)}' object cannot be interpreted as an integer`);
  return BigInt(value);
}

/** intOf, as a number that JavaScript's lists take; what is past any list's end stays past it. */
export function sizeOf(value: Value): number {
  const most = 2 ** 31 - 1;
  return Math.max(-most, Math.min(most, Number(intOf(value))));
}

const SURROGATE = /[\ud800-\udfff]/;

/** The characters of a text, which are code points; half a surrogate pair is one too. */
export const charactersOf = (text: string): string[] =>
  SURROGATE.test(text) ? Array.from(text) : text.split('');

export const textLength = (text: string): number =>
  SURROGATE.test(text) ? Array.from(text).length : text.length;

/** How many items a value has; undefined if it has no length. */
export function lengthOf(value: Value): number | undefined {
  if (typeof value === 'string') return textLength(value);
  if (value instanceof List || value instanceof Tuple || value instanceof View) return value.items.length;
  if (value instanceof Dict) return value.size;
  if (value instanceof Range) return value.length;
  return value instanceof Undefined ? 0 : undefined;
}

export function isTrue(value: Value): boolean {
  if (value === null) return false;
  if (typeof value !== 'object') return Boolean(value); // NaN is true in Python
  return lengthOf(value) !== 0;
}

/** The items of a value in a loop; undefined if it has none. An Iter's items come once. */
export function itemsOf(value: Value): Iterable<Value> | undefined {
  if (typeof value === 'string') return charactersOf(value);
  if (value instanceof List || value instanceof Tuple || value instanceof View) return value.items;
  if (value instanceof Dict) return value.keys();
  if (value instanceof Undefined) return [];
  if (value instanceof Iter) return {[Symbol.iterator]: () => keepOpen(value.iterator)};
  if (value instanceof Range) return Array.from({length: value.length}, (_, i) => value.at(i));
  return undefined;
}

/** An iterator that a loop which is left early does not end, as in Python. */
function keepOpen(iterator: Iterator<Value>): Iterator<Value> {
  return {next: () => iterator.next()};
}

/** @throws TemplateError if `value` has no items */
export function iterate(value: Value): Iterable<Value> {
  const items = itemsOf(value);
  if (!items) throw typeError(`'${typeName(value)}' object is not iterable`);
  return items;
}

/** What a dict tells keys apart by. Numbers that are equal have one hash, whatever their type. */
export function hashOf(key: Value): unknown {
  if (typeof key === 'string') return `'${key}`;
  if (isNumber(key)) {
    const number = numberOf(key);
    return typeof number === 'bigint' || !Number.isInteger(number) ? String(number) : String(BigInt(number));
  }
  if (key instanceof Tuple) return `(${key.items.map((item) => idOf(hashOf(item))).join()})`;
  if (key instanceof Undefined) return Undefined;
  if (key instanceof List || key instanceof Dict) throw typeError(`unhashable type: '${typeName(key)}'`);
  return key;
}

const ids = new WeakMap<object, number>();
let lastId = 0;

/** A text that tells a hash from others inside a tuple's. */
function idOf(hash: unknown): string {
  if (typeof hash === 'string') return JSON.stringify(hash);
  if (hash === null) return 'None';
  let id = ids.get(hash as object);
  if (id === undefined) ids.set(hash as object, (id = ++lastId));
  return `#${id}`;
}

export function isEqual(a: Value, b: Value): boolean {
  if (isNumber(a) && isNumber(b)) return numberOf(a) == numberOf(b);
  if (a instanceof Undefined) return b instanceof Undefined;
  if ((a instanceof List && b instanceof List) || (a instanceof Tuple && b instanceof Tuple))
    return a.items.length === b.items.length && a.items.every((item, i) => isSame(item, b.items[i]));
  if (a instanceof Dict && b instanceof Dict)
    return (
      a.size === b.size &&
      a.items().every(([key, value]) => {
        const other = b.get(key);
        return other !== undefined && isSame(value, other);
      })
    );
  if (a instanceof Range && b instanceof Range) {
    if (a.length !== b.length || a.length === 0) return a.length === b.length;
    return a.start === b.start && (a.length === 1 || a.step === b.step);
  }
  return a === b;
}

/** Equality inside containers, where a value equals itself even if it is NaN. */
export const isSame = (a: Value, b: Value): boolean => Object.is(a, b) || isEqual(a, b);

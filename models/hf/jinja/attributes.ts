/** How a template reads `value.name` and `value['name']`, under the rules of Jinja2's immutable sandbox. */
import {bind} from './bind.js';
import {itemAt} from './operators.js';
import {formatText, type Access} from './python/spec.js';
import {textMethod} from './python/strings.js';
import {repr} from './python/text.js';
import {
  Callable,
  Dict,
  Instance,
  Iter,
  List,
  Range,
  TemplateError,
  Tuple,
  Undefined,
  View,
  firstOf,
  isEqual,
  isSame,
  iterate,
  typeError,
  typeName,
  type Named,
  type Value,
} from './python/values.js';

/** Methods that change a list or dict, which templates must not. */
const CHANGING: [new (...given: never[]) => object, string[]][] = [
  [Dict, ['clear', 'pop', 'popitem', 'setdefault', 'update']],
  [List, ['append', 'clear', 'pop', 'reverse', 'insert', 'sort', 'extend', 'remove']],
];

/** What `value.name` gives: the attribute, or else the item of that name, or else something undefined. */
export function attributeOf(value: Value, name: string): Value {
  if (value instanceof Undefined && !/^__.*__$/s.test(name)) value.fail();
  const item = () => (value instanceof Undefined ? undefined : itemAt(value, name));
  return firstOf(firstOf(safeAttribute(value, name), item), () => missing(value, name));
}

/** What `value[key]` gives: the item, or else the attribute of that name, or else something undefined. */
export function subscript(value: Value, key: Value): Value {
  const item = itemAt(value, key);
  if (item !== undefined) return item;
  const attribute = typeof key === 'string' ? safeAttribute(value, key) : undefined;
  return firstOf(attribute, () => missing(value, key));
}

const ACCESS: Access = {attribute: attributeOf, item: subscript};

function missing(value: Value, key: Value): Undefined {
  const type = value === null ? 'None' : `${typeName(value)} object`;
  if (typeof key !== 'string') return new Undefined(`${type} has no element ${repr(key)}`);
  return new Undefined(`'${type}' has no attribute ${repr(key)}`);
}

/** An attribute that the sandbox hands out; where it does not, something undefined that says so when it is called. */
function safeAttribute(value: Value, name: string): Value | undefined {
  const changes = CHANGING.some(([type, names]) => value instanceof type && names.includes(name));
  if (changes || isInternal(value, name))
    return new Undefined(`access to attribute '${name}' of '${typeName(value)}' object is unsafe.`);
  return plainAttribute(value, name);
}

/** Names that every Python object has; the sandbox hides them. */
const INTERNAL = [
  '__class__',
  '__doc__',
  '__init__',
  '__dir__',
  '__eq__',
  '__ne__',
  '__hash__',
  '__repr__',
  '__str__',
];

const isInternal = (value: Value, name: string): boolean =>
  INTERNAL.includes(name) || (name.startsWith('__') && value instanceof Callable && name === '__call__');

function plainAttribute(value: Value, name: string): Value | undefined {
  if (value instanceof Instance) return value.get(name);
  if (typeof value === 'string')
    return name.startsWith('format') ? formatMethod(value, name) : textMethod(value, name);
  if (value instanceof Dict) return dictMethod(value, name);
  if (value instanceof List || value instanceof Tuple || value instanceof Range)
    return listMethod(value, name);
  if (value instanceof Callable) return value.attributes?.get(name);
  return numberAttribute(value, name);
}

function formatMethod(text: string, name: string): Callable | undefined {
  if (name === 'format')
    return new Callable(name, (positional, named) => formatText(text, positional, named, ACCESS));
  if (name !== 'format_map') return undefined;
  return new Callable(name, (positional, named) => {
    const [mapping] = bind(name, ['mapping', '/'], positional, named);
    if (!(mapping instanceof Dict)) throw typeError('format_map() needs a dict');
    const values: Named = new Map();
    for (const [key, one] of mapping.items()) if (typeof key === 'string') values.set(key, one);
    return formatText(text, [], values, ACCESS);
  });
}

function dictMethod(dict: Dict, name: string): Callable | undefined {
  const method = (parameters: string[], run: (...given: (Value | undefined)[]) => Value) =>
    new Callable(name, (positional, named) => run(...bind(name, [...parameters, '/'], positional, named)));
  switch (name) {
    case 'get':
      return method(['key', 'default='], (key, otherwise = null) => firstOf(dict.get(key!), () => otherwise));
    case 'items':
      return method(
        [],
        () =>
          new View(
            'dict_items',
            dict.items().map((pair) => new Tuple(pair)),
          ),
      );
    case 'keys':
      return method([], () => new View('dict_keys', dict.keys()));
    case 'values':
      return method(
        [],
        () =>
          new View(
            'dict_values',
            dict.items().map(([, value]) => value),
          ),
      );
    case 'copy':
      return method([], () => dict);
    case 'fromkeys':
      return method(
        ['iterable', 'value='],
        (keys, value = null) => new Dict(Array.from(iterate(keys!), (key) => [key, value] as const)),
      );
  }
  return undefined;
}

function listMethod(list: List | Tuple | Range, name: string): Value | undefined {
  const items = () => [...iterate(list)];
  if (list instanceof Tuple && list.names.includes(name)) return list.items[list.names.indexOf(name)];
  if (list instanceof Range && ['start', 'stop', 'step'].includes(name)) return list[name as 'start'];
  switch (name) {
    case 'count':
      return new Callable(name, (positional, named) => {
        const [wanted] = bind(name, ['value', '/'], positional, named);
        return BigInt(items().filter((item) => isSame(item, wanted!)).length);
      });
    case 'index':
      return new Callable(name, (positional, named) => {
        const [wanted, start, end] = bind(name, ['value', 'start=', 'end=', '/'], positional, named);
        const all = items();
        const bound = (at: Value | undefined, otherwise: number) => {
          const number = at === undefined ? otherwise : Number(at as bigint);
          return number < 0 ? Math.max(0, number + all.length) : number;
        };
        const [first, last] = [bound(start, 0), bound(end, all.length)];
        const at = all.findIndex((item, i) => i >= first && i < last && isSame(item, wanted!));
        if (at < 0) throw new TemplateError(`${repr(wanted!)} is not in ${typeName(list)}`);
        return BigInt(at);
      });
    case 'copy':
      return list instanceof List ? new Callable(name, () => list) : undefined;
  }
  return undefined;
}

function numberAttribute(value: Value, name: string): Value | undefined {
  if (typeof value === 'number') {
    if (name === 'is_integer') return new Callable(name, () => Number.isInteger(value));
    if (name === 'real') return value;
    return name === 'imag' ? 0 : undefined;
  }
  if (typeof value !== 'bigint' && typeof value !== 'boolean') return undefined;
  const whole = BigInt(value);
  switch (name) {
    case 'real':
    case 'numerator':
      return whole;
    case 'imag':
      return 0n;
    case 'denominator':
      return 1n;
    case 'bit_length':
      return new Callable(name, () =>
        BigInt(whole === 0n ? 0 : (whole < 0n ? -whole : whole).toString(2).length),
      );
  }
  return undefined;
}

/** Calls `value` as a template does. */
export function callValue(value: Value, positional: readonly Value[], named: Named): Value {
  if (value instanceof Undefined) value.fail();
  if (value instanceof Callable) return value.call(positional, named);
  if (value instanceof Instance && value.call) return value.call(positional, named);
  throw typeError(`'${typeName(value)}' object is not callable`);
}

export const isCallable = (value: Value): boolean =>
  value instanceof Callable ||
  value instanceof Undefined ||
  (value instanceof Instance && value.call !== undefined);

/** Whether two values are the same object in Python, as far as a template can tell. */
export const isIdentical = (a: Value, b: Value): boolean =>
  typeName(a) === typeName(b) && (typeof a === 'object' && a !== null ? a === b : isEqual(a, b));

/** An iterator that a generator function of JavaScript makes. */
export const generator = (items: Iterable<Value>): Iter => new Iter('generator', items[Symbol.iterator]());

/** The filters of Jinja2, `value | name(arguments)`: those of lists and dicts are here. */
import {attributeOf, generator, subscript} from './attributes.js';
import {bind} from './bind.js';
import {binary, reversed} from './operators.js';
import {textOf} from './python/text.js';
import {TEXT_FILTERS, formatFilter, listOf, type Filter} from './text_filters.js';
import {runTest} from './tests.js';
import {isOrdered, sorted} from './python/order.js';
import {
  Callable,
  Dict,
  List,
  TemplateError,
  Tuple,
  Undefined,
  charactersOf,
  hashOf,
  isEqual,
  isTrue,
  iterate,
  lengthOf,
  sizeOf,
  typeError,
  typeName,
  type Named,
  type Value,
} from './python/values.js';

type Given = Value | undefined;

const ignoreCase = (value: Value): Value => (typeof value === 'string' ? value.toLowerCase() : value);
const sameCase = (value: Value): Value => value;
const caseOf = (sensitive: Given) => (isTrue(sensitive ?? false) ? sameCase : ignoreCase);

/** Reads the attribute `a.b.0` of a value. A default stands for each part that is undefined. */
function getter(attribute: Given, otherwise: Given = null): (value: Value) => Value {
  let parts: Value[] = [];
  if (typeof attribute === 'string')
    parts = attribute.split('.').map((part) => (/^\p{Nd}+$/u.test(part) ? BigInt(part) : part));
  else if (attribute !== undefined && attribute !== null) parts = [attribute];
  return (value) => {
    let found = value;
    for (const part of parts) {
      found = subscript(found, part);
      if (found instanceof Undefined && otherwise !== null) found = otherwise;
    }
    return found;
  };
}

/** Reads several attributes, `a,b.c`, as a list, by which values are sorted. */
function getters(attribute: Given, change: (value: Value) => Value): (value: Value) => Value {
  const all = typeof attribute === 'string' ? attribute.split(',') : [attribute];
  const reads = all.map((one) => getter(one));
  return (value) => new List(reads.map((read) => change(read(value))));
}

function* batches(value: Value, count: Given, fill: Given = null): Iterable<Value> {
  const size = sizeOf(count!);
  let batch: Value[] = [];
  for (const item of iterate(value)) {
    if (batch.length === size) {
      yield new List(batch);
      batch = [];
    }
    batch.push(item);
  }
  if (batch.length === 0) return;
  if (fill !== null) while (batch.length < size) batch.push(fill);
  yield new List(batch);
}

function* slices(value: Value, count: Given, fill: Given = null): Iterable<Value> {
  const items = [...iterate(value)];
  const many = sizeOf(count!);
  if (many === 0) throw new TemplateError('integer division or modulo by zero');
  const [size, longer] = [Math.floor(items.length / many), ((items.length % many) + many) % many];
  for (let i = 0; i < many; i++) {
    const start = i * size + Math.min(i, longer);
    const one = items.slice(start, start + size + (i < longer ? 1 : 0));
    if (fill !== null && i >= longer) one.push(fill);
    yield new List(one);
  }
}

function* unique(value: Value, sensitive: Given, attribute: Given): Iterable<Value> {
  const read = getter(attribute);
  const change = caseOf(sensitive);
  const seen = new Set<unknown>();
  for (const item of iterate(value)) {
    const hash = hashOf(change(read(item)));
    if (seen.has(hash)) continue;
    seen.add(hash);
    yield item;
  }
}

function extreme(operator: '<' | '>', value: Value, sensitive: Given, attribute: Given): Value {
  const read = getter(attribute);
  const change = caseOf(sensitive);
  let best: [Value, Value] | undefined;
  for (const item of iterate(value)) {
    const key = change(read(item));
    if (!best || isOrdered(operator, key, best[0])) best = [key, item];
  }
  return best ? best[1] : new Undefined('No aggregated item, sequence was empty.');
}

function dictSort(value: Value, sensitive: Given, by: Given = 'key', reverse: Given = false): Value {
  if (value instanceof Undefined) value.fail();
  if (by !== 'key' && by !== 'value') throw new TemplateError('You can only sort by either "key" or "value"');
  if (!(value instanceof Dict)) throw typeError(`'${typeName(value)}' object has no attribute 'items'`);
  const change = caseOf(sensitive);
  const pairs = value.items().map((pair) => new Tuple(pair));
  return new List(
    sorted(pairs, (pair) => change((pair as Tuple).items[by === 'key' ? 0 : 1]), isTrue(reverse)),
  );
}

function groupBy(value: Value, attribute: Given, otherwise: Given = null, sensitive: Given = false): Value {
  const read = getter(attribute, otherwise);
  const change = caseOf(sensitive);
  const keyOf = (item: Value) => change(read(item));
  const groups: [Value, Value[]][] = [];
  for (const item of sorted(iterate(value), keyOf)) {
    const last = groups.at(-1);
    if (last && isEqual(last[0], keyOf(item))) last[1].push(item);
    else groups.push([keyOf(item), [item]]);
  }
  return new List(
    groups.map(
      ([key, items]) =>
        new Tuple([isTrue(sensitive) ? key : read(items[0]), new List(items)], ['grouper', 'list']),
    ),
  );
}

function length(value: Value): Value {
  const count = lengthOf(value);
  if (count === undefined) throw typeError(`object of type '${typeName(value)}' has no len()`);
  return BigInt(count);
}

function first(value: Value): Value {
  for (const item of iterate(value)) return item;
  return new Undefined('No first item, sequence was empty.');
}

function last(value: Value): Value {
  const items = value instanceof Undefined ? undefined : reversed(value);
  if (items === undefined) throw typeError(`'${typeName(value)}' object is not reversible`);
  const item = first(items);
  return item instanceof Undefined ? new Undefined('No last item, sequence was empty.') : item;
}

function sum(value: Value, attribute: Given, start: Given = 0n): Value {
  if (typeof start === 'string') throw typeError("sum() can't sum strings [use ''.join(seq) instead]");
  const read = getter(attribute);
  let total: Value = start;
  for (const item of iterate(value)) total = binary('+', total, read(item));
  return total;
}

function reverse(value: Value): Value {
  if (typeof value === 'string') return charactersOf(value).reverse().join('');
  return reversed(value) ?? new List([...iterate(value)].reverse());
}

function* pairs(value: Value): Iterable<Value> {
  if (value instanceof Undefined) return;
  if (!(value instanceof Dict)) throw typeError('Can only get item pairs from a mapping.');
  for (const pair of value.items()) yield new Tuple(pair);
}

function attr(value: Value, name: Given): Value {
  if (typeof name !== 'string') throw typeError('attribute name must be string');
  const found = attributeOf(value, name);
  // An item of a dict is no attribute.
  const isItem = value instanceof Dict && value.get(name) !== undefined;
  return isItem && !(found instanceof Callable)
    ? new Undefined(`'dict object' has no attribute '${name}'`)
    : found;
}

const LIST_FILTERS: Record<string, Filter> = {
  attr: ['name', attr],
  batch: ['linecount fill_with=', (value, count, fill) => generator(batches(value, count, fill))],
  count: ['', length],
  default: [
    'default_value= boolean=',
    (value, otherwise = '', falsy = false) =>
      value instanceof Undefined || (isTrue(falsy) && !isTrue(value)) ? otherwise : value,
  ],
  dictsort: ['case_sensitive= by= reverse=', dictSort],
  first: ['', first],
  groupby: ['attribute default= case_sensitive=', groupBy],
  items: ['', (value) => generator(pairs(value))],
  join: [
    'd= attribute=',
    (value, separator = '', attribute) =>
      Array.from(iterate(value), getter(attribute)).map(textOf).join(textOf(separator)),
  ],
  last: ['', last],
  length: ['', length],
  list: ['', listOf],
  max: [
    'case_sensitive= attribute=',
    (value, sensitive, attribute) => extreme('>', value, sensitive, attribute),
  ],
  min: [
    'case_sensitive= attribute=',
    (value, sensitive, attribute) => extreme('<', value, sensitive, attribute),
  ],
  reverse: ['', reverse],
  slice: ['slices fill_with=', (value, count, fill) => generator(slices(value, count, fill))],
  sort: [
    'reverse= case_sensitive= attribute=',
    (value, turned = false, sensitive, attribute) =>
      new List(sorted(iterate(value), getters(attribute, caseOf(sensitive)), isTrue(turned))),
  ],
  sum: ['attribute= start=', sum],
  unique: [
    'case_sensitive= attribute=',
    (value, sensitive, attribute) => generator(unique(value, sensitive, attribute)),
  ],
};

const FILTERS: Record<string, Filter> = {...TEXT_FILTERS, ...LIST_FILTERS, d: LIST_FILTERS.default};

function* map(value: Value, positional: readonly Value[], named: Named): Iterable<Value> {
  if (!isTrue(value)) return;
  let change: (item: Value) => Value;
  if (positional.length === 0 && named.has('attribute')) {
    const {attribute, default: otherwise, ...others} = Object.fromEntries(named);
    for (const name of Object.keys(others)) throw new TemplateError(`Unexpected keyword argument '${name}'`);
    change = getter(attribute, otherwise);
  } else {
    if (positional.length === 0) throw new TemplateError('map requires a filter argument');
    const [name, ...given] = positional;
    change = (item) => runFilter(textOf(name), item, given, named);
  }
  for (const item of iterate(value)) yield change(item);
}

/** `select`, `reject`, `selectattr` and `rejectattr`: the items for which a test holds, or does not. */
function* choose(
  wanted: boolean,
  ofAttribute: boolean,
  value: Value,
  positional: readonly Value[],
  named: Named,
): Iterable<Value> {
  if (!isTrue(value)) return;
  const attribute = ofAttribute ? positional[0] : undefined;
  const [name, ...given] = positional.slice(Number(ofAttribute));
  if (ofAttribute && attribute === undefined) throw new TemplateError('Missing parameter for attribute name');
  const read = getter(attribute);
  for (const item of iterate(value)) {
    const tested = read(item);
    const holds = name === undefined ? isTrue(tested) : runTest(textOf(name), tested, given, named);
    if (holds === wanted) yield item;
  }
}

type Free = (value: Value, positional: readonly Value[], named: Named) => Value;

/** Filters that hand their arguments on. */
const FREE_FILTERS: Record<string, Free> = {
  format: formatFilter,
  map: (...given) => generator(map(...given)),
  select: (...given) => generator(choose(true, false, ...given)),
  reject: (...given) => generator(choose(false, false, ...given)),
  selectattr: (...given) => generator(choose(true, true, ...given)),
  rejectattr: (...given) => generator(choose(false, true, ...given)),
};

/** Filters of Jinja2 that are missing here: a template with one is refused. */
export const MISSING_FILTERS = ['pprint', 'random', 'striptags', 'urlize', 'wordwrap', 'xmlattr'];

export const isFilter = (name: string): boolean =>
  Object.hasOwn(FILTERS, name) || Object.hasOwn(FREE_FILTERS, name);

/** @throws TemplateError if there is no such filter, or where Python raises */
export function runFilter(name: string, value: Value, positional: readonly Value[], named: Named): Value {
  if (Object.hasOwn(FREE_FILTERS, name)) return FREE_FILTERS[name](value, positional, named);
  if (!Object.hasOwn(FILTERS, name)) throw new TemplateError(`No filter named '${name}'.`);
  const [parameters, run] = FILTERS[name];
  const names = parameters.split(' ').filter((parameter) => parameter !== '');
  return run(value, ...bind(name, names, positional, named));
}

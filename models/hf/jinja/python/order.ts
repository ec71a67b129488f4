/** The order of values, which is Python's. */
import {
  List,
  Tuple,
  Undefined,
  charactersOf,
  isNumber,
  isSame,
  numberOf,
  typeError,
  typeName,
  type Value,
} from './values.js';

const SURROGATE = /[\ud800-\udfff]/;

/** Below 0, 0 or above 0: texts are ordered by code points. */
function compareTexts(a: string, b: string): number {
  if (!SURROGATE.test(a) && !SURROGATE.test(b)) return a < b ? -1 : Number(a > b);
  const [left, right] = [charactersOf(a), charactersOf(b)];
  const at = left.findIndex((character, i) => character !== right[i]);
  if (at < 0) return left.length - right.length;
  return at < right.length ? left[at].codePointAt(0)! - right[at].codePointAt(0)! : 1;
}

/** The result of `a < b` and the like. */
export function isOrdered(operator: '<' | '<=' | '>' | '>=', a: Value, b: Value): boolean {
  if (a instanceof Undefined) a.fail();
  if (b instanceof Undefined) b.fail();
  if (isNumber(a) && isNumber(b)) return holds(operator, numberOf(a), numberOf(b));
  if (typeof a === 'string' && typeof b === 'string') return holds(operator, compareTexts(a, b), 0);
  if ((a instanceof List && b instanceof List) || (a instanceof Tuple && b instanceof Tuple)) {
    const at = a.items.findIndex((item, i) => i >= b.items.length || !isSame(item, b.items[i]));
    if (at >= 0 && at < b.items.length) return isOrdered(operator, a.items[at], b.items[at]);
    return holds(operator, a.items.length, b.items.length);
  }
  throw typeError(`'${operator}' not supported between instances of '${typeName(a)}' and '${typeName(b)}'`);
}

function holds(operator: string, a: bigint | number, b: bigint | number): boolean {
  if (operator === '<') return a < b;
  if (operator === '<=') return a <= b;
  return operator === '>' ? a > b : a >= b;
}

/** Python's `sorted`: stable, in either direction, with the keys compared by `<` alone. */
export function sorted(items: Iterable<Value>, keyOf: (item: Value) => Value, reverse = false): Value[] {
  const pairs = Array.from(items, (item) => [keyOf(item), item] as const);
  const below = (a: Value, b: Value) => isOrdered('<', a, b);
  const order = ([a]: readonly [Value, Value], [b]: readonly [Value, Value]) =>
    below(a, b) ? -1 : Number(below(b, a));
  pairs.sort((a, b) => (reverse ? order(b, a) : order(a, b)));
  return pairs.map(([, item]) => item);
}

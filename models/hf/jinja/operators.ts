/** Python's operators, subscripts and slices. */
import {percentFormat} from './python/percent.js';
import {textOf} from './python/text.js';
import {isOrdered} from './python/order.js';
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
  intOf,
  isEqual,
  isNumber,
  isSame,
  iterate,
  lengthOf,
  numberOf,
  sizeOf,
  toFloat,
  typeError,
  typeName,
  type Value,
} from './python/values.js';

/** Larger results are refused: a template that makes one is broken or hostile. */
const MOST_ITEMS = 2 ** 22;
const MOST_BITS = 2 ** 17;

export function binary(operator: string, left: Value, right: Value): Value {
  if (operator === '%' && typeof left === 'string') return percentFormat(left, right);
  if (left instanceof Undefined) left.fail();
  if (right instanceof Undefined) right.fail();
  if (isNumber(left) && isNumber(right)) return arithmetic(operator, numberOf(left), numberOf(right));
  if (operator === '+') {
    if (typeof left === 'string' && typeof right === 'string') return left + right;
    if (left instanceof List && right instanceof List) return new List([...left.items, ...right.items]);
    if (left instanceof Tuple && right instanceof Tuple) return new Tuple([...left.items, ...right.items]);
  }
  if (operator === '*') {
    if (isSequence(left) && isNumber(right)) return repeated(left, right);
    if (isNumber(left) && isSequence(right)) return repeated(right, left);
  }
  throw typeError(
    `unsupported operand type(s) for ${operator}: '${typeName(left)}' and '${typeName(right)}'`,
  );
}

const isSequence = (value: Value): value is string | List | Tuple =>
  typeof value === 'string' || value instanceof List || value instanceof Tuple;

function repeated(value: string | List | Tuple, times: Value): Value {
  const count = Math.max(0, sizeOf(times));
  const length = lengthOf(value)! * count;
  if (length > MOST_ITEMS) throw new TemplateError(`a repetition has ${length} items, which is too many`);
  if (typeof value === 'string') return value.repeat(length === 0 ? 0 : count);
  const items = Array.from({length: length === 0 ? 0 : count}, () => value.items).flat();
  return value instanceof List ? new List(items) : new Tuple(items);
}

function arithmetic(operator: string, a: bigint | number, b: bigint | number): Value {
  if (typeof a === 'bigint' && typeof b === 'bigint') return integers(operator, a, b);
  const [x, y] = [toFloat(a), toFloat(b)];
  switch (operator) {
    case '+':
      return x + y;
    case '-':
      return x - y;
    case '*':
      return x * y;
    case '**':
      return power(x, y);
  }
  if (y === 0) throw new TemplateError('float division by zero');
  if (operator === '/') return x / y;
  let rest = x % y;
  let div = (x - rest) / y;
  if (rest === 0) rest = y < 0 ? -0 : 0;
  else if (rest < 0 !== y < 0) {
    rest += y;
    div -= 1;
  }
  if (operator === '%') return rest;
  if (div === 0) return x / y < 0 ? -0 : 0;
  const floor = Math.floor(div);
  return div - floor > 0.5 ? floor + 1 : floor;
}

function power(x: number, y: number): number {
  if (x === 0 && y < 0) throw new TemplateError('0.0 cannot be raised to a negative power');
  const result = x === 1 ? 1 : x ** y; // JavaScript's 1 ** NaN is NaN
  if (Number.isNaN(result) && !Number.isNaN(x) && !Number.isNaN(y))
    throw new TemplateError('a complex number cannot be written here');
  if (!Number.isFinite(result) && Number.isFinite(x) && Number.isFinite(y))
    throw new TemplateError('Numerical result out of range');
  return result;
}

function integers(operator: string, a: bigint, b: bigint): Value {
  switch (operator) {
    case '+':
      return a + b;
    case '-':
      return a - b;
    case '*':
      return a * b;
    case '**':
      if (b < 0n) return power(toFloat(a), toFloat(b));
      if (b * BigInt(a.toString(2).length) > MOST_BITS) throw new TemplateError('a power is too large');
      return a ** b;
  }
  if (b === 0n) throw new TemplateError('integer division or modulo by zero');
  if (operator === '/') return quotient(a, b);
  const rest = a % b;
  const isOff = rest !== 0n && rest < 0n !== b < 0n;
  if (operator === '%') return isOff ? rest + b : rest;
  return a / b - (isOff ? 1n : 0n);
}

const EXACT = BigInt(Number.MAX_SAFE_INTEGER);
const magnitude = (value: bigint): bigint => (value < 0n ? -value : value);

/** a / b, rounded once. */
function quotient(a: bigint, b: bigint): number {
  const [above, below] = [magnitude(a), magnitude(b)];
  if (above <= EXACT && below <= EXACT) return Number(a) / Number(b);
  // More bits than a float has, the last of which says whether a rest is left.
  const shift = Math.max(0, 66 - above.toString(2).length + below.toString(2).length);
  const shifted = above << BigInt(shift);
  const bits = shifted / below;
  const size = toFloat(shifted % below === 0n ? bits : bits | 1n) * 2 ** -shift;
  return a < 0n === b < 0n ? size : -size;
}

export function unary(operator: string, operand: Value): Value {
  if (operand instanceof Undefined) operand.fail();
  if (!isNumber(operand)) throw typeError(`bad operand type for unary ${operator}: '${typeName(operand)}'`);
  const number = numberOf(operand);
  return operator === '-' ? -number : number;
}

export function compare(operator: string, left: Value, right: Value): boolean {
  switch (operator) {
    case '==':
      return isEqual(left, right);
    case '!=':
      return !isEqual(left, right);
    case 'in':
      return contains(right, left);
    case 'not in':
      return !contains(right, left);
    default:
      return isOrdered(operator as '<', left, right);
  }
}

export function contains(container: Value, item: Value): boolean {
  if (typeof container === 'string') {
    if (typeof item !== 'string')
      throw typeError(`'in <string>' requires string as left operand, not ${typeName(item)}`);
    return container.includes(item);
  }
  if (container instanceof Dict) return container.get(item) !== undefined;
  if (container instanceof Instance || (container !== null && typeof container !== 'object'))
    throw typeError(`argument of type '${typeName(container)}' is not iterable`);
  for (const one of iterate(container)) if (isSame(one, item)) return true;
  return false;
}

/** What `value[key]` is in Python; undefined where it would raise TypeError, KeyError or IndexError. */
export function itemAt(value: Value, key: Value): Value | undefined {
  if (value instanceof Undefined) value.fail();
  if (value instanceof Dict) return key instanceof List || key instanceof Dict ? undefined : value.get(key);
  if (!isSequence(value) && !(value instanceof Range)) return undefined;
  if (typeof key !== 'bigint' && typeof key !== 'boolean') return undefined;
  const length = lengthOf(value)!;
  const index = sizeOf(key);
  const at = index < 0 ? index + length : index;
  if (at < 0 || at >= length) return undefined;
  if (typeof value === 'string') return charactersOf(value)[at];
  return value instanceof Range ? value.at(at) : value.items[at];
}

/** `value[start:stop:step]`; null stands for a bound that is left out. */
export function sliceOf(value: Value, start: Value, stop: Value, step: Value): Value {
  if (value instanceof Undefined) value.fail();
  if (!isSequence(value) && !(value instanceof Range))
    throw typeError(`'${typeName(value)}' object is not subscriptable`);
  const indices = sliceIndices(lengthOf(value)!, start, stop, step);
  if (typeof value === 'string') {
    const characters = charactersOf(value);
    return indices.map((at) => characters[at]).join('');
  }
  if (value instanceof Range) {
    const by = (step === null ? 1n : intOf(step)) * value.step;
    const [first, end] = sliceBounds(value.length, start, stop, step);
    return new Range(value.at(first), value.at(end), by);
  }
  const items = indices.map((at) => value.items[at]);
  return value instanceof List ? new List(items) : new Tuple(items);
}

function sliceBounds(length: number, start: Value, stop: Value, step: Value): [number, number, number] {
  const by = step === null ? 1 : sizeOf(step);
  if (by === 0) throw new TemplateError('slice step cannot be zero');
  const [least, most] = by > 0 ? [0, length] : [-1, length - 1];
  const bound = (value: Value, missing: number) => {
    if (value === null) return missing;
    const at = sizeOf(value);
    return Math.max(least, Math.min(most, at < 0 ? at + length : at));
  };
  return [bound(start, by > 0 ? least : most), bound(stop, by > 0 ? most : least), by];
}

function sliceIndices(length: number, start: Value, stop: Value, step: Value): number[] {
  const [first, end, by] = sliceBounds(length, start, stop, step);
  const indices: number[] = [];
  for (let at = first; by > 0 ? at < end : at > end; at += by) indices.push(at);
  return indices;
}

/** `a ~ b`: the texts of all, one after the other. */
export const concat = (values: readonly Value[]): string => values.map(textOf).join('');

/** Python's `reversed`; undefined for values that have no order to turn round. */
export function reversed(value: Value): Value | undefined {
  if (
    typeof value !== 'string' &&
    !isSequence(value) &&
    !(value instanceof Dict || value instanceof Range || value instanceof View)
  )
    return undefined;
  const items = [...iterate(value)].reverse();
  return new Iter('reversed', items[Symbol.iterator]());
}

/** The tests of Jinja2: `value is name(arguments)`. */
import {isCallable, isIdentical} from './attributes.js';
import {bind} from './bind.js';
import {PREDICATES} from './python/characters.js';
import {binary, compare} from './operators.js';
import {textOf} from './python/text.js';
import {
  Dict,
  List,
  Range,
  TemplateError,
  Tuple,
  Undefined,
  isEqual,
  isNumber,
  itemsOf,
  type Named,
  type Value,
} from './python/values.js';

type Test = [parameters: string[], holds: (value: Value, argument: Value) => boolean];

const remainder = (value: Value, by: Value, rest: bigint): boolean => isEqual(binary('%', value, by), rest);

const comparison = (operator: string): Test => [['other'], (value, other) => compare(operator, value, other)];

const comparisons: Record<string, string[]> = {
  '==': ['==', 'eq', 'equalto'],
  '!=': ['!=', 'ne'],
  '>': ['>', 'gt', 'greaterthan'],
  '>=': ['>=', 'ge'],
  '<': ['<', 'lt', 'lessthan'],
  '<=': ['<=', 'le'],
};

const isSequence = (value: Value): boolean =>
  typeof value === 'string' ||
  [List, Tuple, Range, Dict, Undefined].some((type) => value instanceof (type as never));

const TESTS: Record<string, Test> = {
  ...({
    odd: [[], (value) => remainder(value, 2n, 1n)],
    even: [[], (value) => remainder(value, 2n, 0n)],
    divisibleby: [['num'], (value, by) => remainder(value, by, 0n)],
    defined: [[], (value) => !(value instanceof Undefined)],
    undefined: [[], (value) => value instanceof Undefined],
    none: [[], (value) => value === null],
    boolean: [[], (value) => typeof value === 'boolean'],
    true: [[], (value) => value === true],
    false: [[], (value) => value === false],
    integer: [[], (value) => typeof value === 'bigint'],
    float: [[], (value) => typeof value === 'number'],
    number: [[], (value) => isNumber(value)],
    string: [[], (value) => typeof value === 'string'],
    mapping: [[], (value) => value instanceof Dict],
    sequence: [[], isSequence],
    iterable: [[], (value) => itemsOf(value) !== undefined],
    callable: [[], isCallable],
    sameas: [['other'], isIdentical],
    escaped: [[], () => false],
    in: [['seq'], (value, container) => compare('in', value, container)],
    lower: [[], (value) => PREDICATES.islower(textOf(value))],
    upper: [[], (value) => PREDICATES.isupper(textOf(value))],
  } satisfies Record<string, Test>),
  ...Object.fromEntries(
    Object.entries(comparisons).flatMap(([operator, names]) =>
      names.map((name) => [name, comparison(operator)]),
    ),
  ),
};

export const isTest = (name: string): boolean =>
  Object.hasOwn(TESTS, name) || name === 'test' || name === 'filter';

/** @throws TemplateError if there is no such test, or where Python raises */
export function runTest(name: string, value: Value, positional: readonly Value[], named: Named): boolean {
  if (!Object.hasOwn(TESTS, name)) throw new TemplateError(`No test named '${name}'.`);
  const [parameters, holds] = TESTS[name];
  const [argument = null] = bind(name, parameters, positional, named);
  return holds(value, argument);
}

/** Finds the values of a template's expressions. */
import {attributeOf, callValue, subscript} from './attributes.js';
import {isFilter, runFilter} from './filters.js';
import type {Arguments, Expression, Filter} from './nodes.js';
import {binary, compare, concat, sliceOf, unary} from './operators.js';
import {isTest, runTest} from './tests.js';
import {
  Dict,
  List,
  TemplateError,
  Tuple,
  Undefined,
  firstOf,
  hashOf,
  isTrue,
  iterate,
  typeError,
  typeName,
  type Named,
  type Value,
} from './python/values.js';

/** The variables of a part of a template. What it does not have, its parent may have. */
export class Scope {
  /** Undefined for names that the parent does not lend. */
  private readonly values = new Map<string, Value | undefined>();

  constructor(
    private readonly parent?: Scope,
    hidden: readonly string[] = [],
  ) {
    for (const name of hidden) this.values.set(name, undefined);
  }

  get(name: string): Value | undefined {
    const value = this.values.get(name);
    return value === undefined && !this.values.has(name) ? this.parent?.get(name) : value;
  }

  set(name: string, value: Value): void {
    this.values.set(name, value);
  }
}

export function evaluate(node: Expression, scope: Scope): Value {
  const of = (one: Expression) => evaluate(one, scope);
  switch (node.kind) {
    case 'const':
      return node.value;
    case 'name':
      return firstOf(scope.get(node.name), () => new Undefined(`'${node.name}' is undefined`));
    case 'tuple':
      return new Tuple(node.items.map(of));
    case 'list':
      return new List(node.items.map(of));
    case 'dict':
      return new Dict(node.items.map(([key, value]) => [of(key), of(value)] as const));
    case 'conditional':
      if (isTrue(of(node.test))) return of(node.then);
      if (node.otherwise) return of(node.otherwise);
      return new Undefined('the inline if-expression evaluated to false and no else section was defined.');
    case 'or': {
      const left = of(node.left);
      return isTrue(left) ? left : of(node.right);
    }
    case 'and': {
      const left = of(node.left);
      return isTrue(left) ? of(node.right) : left;
    }
    case 'not':
      return !isTrue(of(node.operand));
    case 'compare': {
      let left = of(node.first);
      for (const [operator, operand] of node.rest) {
        const right = of(operand);
        if (!compare(operator, left, right)) return false;
        left = right;
      }
      return true;
    }
    case 'concat':
      return concat(node.items.map(of));
    case 'binary':
      return binary(node.operator, of(node.left), of(node.right));
    case 'unary':
      return unary(node.operator, of(node.operand));
    case 'attribute':
      return attributeOf(of(node.object), node.name);
    case 'item': {
      const object = of(node.object);
      if (node.key.kind !== 'slice') return subscript(object, of(node.key));
      const {start, stop, step} = node.key;
      const bound = (one: Expression | undefined) => (one ? of(one) : null);
      return sliceOf(object, bound(start), bound(stop), bound(step));
    }
    case 'slice':
      throw typeError('a slice among other indices is no index');
    case 'call': {
      const callee = of(node.callee);
      return callValue(callee, ...argumentsOf(node.given, scope));
    }
    case 'filter':
      return filtered(node, of(node.operand!), scope);
    case 'test': {
      const operand = of(node.operand);
      const given = argumentsOf(node.given, scope);
      // These two ask what the others are.
      if (node.name === 'filter' || node.name === 'test') {
        hashOf(operand);
        return typeof operand === 'string' && (node.name === 'filter' ? isFilter : isTest)(operand);
      }
      return runTest(node.name, operand, ...given);
    }
  }
}

/** The result of a filter for the text or value `operand`. */
export function filtered(node: Filter, operand: Value, scope: Scope): Value {
  return runFilter(node.name, operand, ...argumentsOf(node.given, scope));
}

/** The result of a chain of filters that begins with the text of a block. */
export function filteredBlock(node: Filter, text: string, scope: Scope): Value {
  const operand = node.operand ? filteredBlock(node.operand as Filter, text, scope) : text;
  return filtered(node, operand, scope);
}

export function argumentsOf(given: Arguments, scope: Scope): [Value[], Named] {
  const positional = given.positional.map((one) => evaluate(one, scope));
  const named: Named = new Map();
  const add = (name: Value, value: Value) => {
    if (typeof name !== 'string') throw typeError('keywords must be strings');
    if (named.has(name)) throw new TemplateError(`got multiple values for keyword argument '${name}'`);
    named.set(name, value);
  };
  for (const [name, one] of given.named) add(name, evaluate(one, scope));
  if (given.list) positional.push(...iterate(evaluate(given.list, scope)));
  if (given.dict) {
    const dict = evaluate(given.dict, scope);
    if (!(dict instanceof Dict))
      throw typeError(`argument after ** must be a mapping, not ${typeName(dict)}`);
    for (const [name, value] of dict.items()) add(name, value);
  }
  return [positional, named];
}

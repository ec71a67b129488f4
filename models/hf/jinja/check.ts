/**
 * Checks a template before it is rendered: what Jinja2 refuses when it compiles one, and what cannot be done here as
 * Jinja2 does it, which is refused by name.
 */
import {MISSING_FILTERS, isFilter} from './filters.js';
import type {Arguments, Expression, Filter, Statement, Target} from './nodes.js';
import {MISSING_METHODS} from './python/strings.js';
import {isTest} from './tests.js';
import {TemplateError} from './python/values.js';

/** Filters whose result is HTML, which Jinja2 treats apart from other texts. */
const HTML = ['safe', 'e', 'escape', 'forceescape'];

/** Where a part of the template stands. */
interface Place {
  inLoop: boolean;
  /** In a branch of a condition, where an unknown filter is an error only if it is reached. */
  soft: boolean;
}

export function checkStatements(
  body: readonly Statement[],
  place: Place = {inLoop: false, soft: false},
): void {
  for (const statement of body) checkStatement(statement, place);
}

function checkStatement(node: Statement, place: Place): void {
  const inner = {...place, soft: false};
  const apart = {inLoop: false, soft: false};
  switch (node.kind) {
    case 'text':
      return;
    case 'output':
      for (const item of node.items) checkOutput(item, place);
      return;
    case 'if': {
      const branch = {...place, soft: true};
      for (const {test, body} of node.branches) {
        check(test, branch);
        checkStatements(body, branch);
      }
      return checkStatements(node.otherwise, branch);
    }
    case 'for':
      checkTarget(node.target);
      check(node.iterable, place);
      if (node.test) check(node.test, inner);
      checkStatements(node.body, {inLoop: true, soft: false});
      return checkStatements(node.otherwise, inner);
    case 'break':
    case 'continue':
      if (!place.inLoop) fail(node.line, `{% ${node.kind} %} stands outside of a loop`);
      return;
    case 'set':
      if (place.inLoop) checkTarget(node.target);
      return check(node.value, place);
    case 'setBlock':
      if (place.inLoop) checkTarget(node.target);
      checkStatements(node.body, inner);
      return node.filter && check(node.filter, inner);
    case 'filterBlock':
      checkStatements(node.body, inner);
      return checkOutput(node.filter, inner);
    case 'macro':
      for (const value of node.signature.defaults) check(value, apart);
      return checkStatements(node.body, apart);
    case 'callBlock':
      check(node.call, place);
      for (const value of node.signature.defaults) check(value, apart);
      return checkStatements(node.body, apart);
    case 'with':
      for (const value of node.values) check(value, place);
      return checkStatements(node.body, inner);
    case 'block':
    case 'generation':
      return checkStatements(node.body, apart);
  }
}

function fail(line: number, message: string): never {
  throw new TemplateError(`line ${line}: ${message}`);
}

function checkTarget(target: Target): void {
  if (target.kind === 'tuple') target.items.forEach(checkTarget);
  else if (target.kind === 'name' && target.name === 'loop')
    fail(target.line, "Can't assign to special loop variable in for-loop target");
}

/** What is written as it is may end in filters that make HTML. */
function checkOutput(node: Expression, place: Place): void {
  if (node.kind !== 'filter' || !HTML.includes(node.name)) return check(node, place);
  checkArguments(node.given, place);
  if (node.operand) check(node.operand, place);
}

function checkArguments({positional, named, list, dict}: Arguments, place: Place): void {
  for (const value of [...positional, ...named.map(([, one]) => one), list, dict])
    if (value) check(value, place);
}

function checkFilter({name, operand, given, line}: Filter, place: Place): void {
  if (MISSING_FILTERS.includes(name)) fail(line, `the filter '${name}' is not supported`);
  if (HTML.includes(name)) fail(line, `the filter '${name}' is supported only as the last one of an output`);
  if (!isFilter(name) && !place.soft) fail(line, `No filter named '${name}'.`);
  // map('random') and the like
  const [first] = given.positional;
  const mapped = first?.kind === 'const' && typeof first.value === 'string' ? first.value : '';
  if (name === 'map' && [...MISSING_FILTERS, ...HTML].includes(mapped))
    fail(line, `the filter '${mapped}' is not supported in map`);
  if (operand) check(operand, place);
  checkArguments(given, place);
}

function check(node: Expression, place: Place): void {
  const all = (nodes: (Expression | undefined)[]) => {
    for (const one of nodes) if (one) check(one, place);
  };
  switch (node.kind) {
    case 'name':
      if (node.name === 'lipsum') fail(node.line, "'lipsum' is not supported");
      return;
    case 'tuple':
    case 'list':
    case 'concat':
      return all(node.items);
    case 'dict':
      return all(node.items.flat());
    case 'conditional': {
      const branch = {...place, soft: true};
      for (const one of [node.test, node.then, node.otherwise]) if (one) check(one, branch);
      return;
    }
    case 'or':
    case 'and':
    case 'binary':
      return all([node.left, node.right]);
    case 'not':
    case 'unary':
      return check(node.operand, place);
    case 'compare':
      return all([node.first, ...node.rest.map(([, operand]) => operand)]);
    case 'attribute':
      return check(node.object, place);
    case 'item':
      return all([node.object, node.key]);
    case 'slice':
      return all([node.start, node.stop, node.step]);
    case 'call':
      if (node.callee.kind === 'attribute' && MISSING_METHODS.includes(node.callee.name))
        throw new TemplateError(`the method '${node.callee.name}' is not supported`);
      check(node.callee, place);
      return checkArguments(node.given, place);
    case 'filter':
      return checkFilter(node, place);
    case 'test':
      if (!isTest(node.name) && !place.soft) fail(node.line, `No test named '${node.name}'.`);
      check(node.operand, place);
      return checkArguments(node.given, place);
  }
}

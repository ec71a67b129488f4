/** Runs a template's statements and collects the text that they write. */
import {evaluate, filteredBlock, Scope, argumentsOf} from './expressions.js';
import {Namespace} from './globals.js';
import {Loop} from './loop.js';
import type {Expression, For, Macro, Signature, Statement, Target} from './nodes.js';
import {callValue} from './attributes.js';
import type {Hidden} from './symbols.js';
import {quote, textOf} from './python/text.js';
import {
  Callable,
  Dict,
  List,
  TemplateError,
  Tuple,
  Undefined,
  firstOf,
  isTrue,
  iterate,
  typeError,
  typeName,
  type Named,
  type Value,
} from './python/values.js';

/** How a body of statements ended: as it should, or by a tag of the loop around it. */
type End = 'break' | 'continue' | undefined;

export class Interpreter {
  private out: string[] = [];

  private root: Scope;

  /** @param context the variables that the template is rendered with */
  constructor(
    private readonly context: Scope,
    private readonly hidden: Hidden,
  ) {
    this.root = context;
  }

  private inner(scope: Scope, body: readonly Statement[]): Scope {
    return new Scope(scope, this.hidden.get(body));
  }

  /** The text of a template. */
  render(body: readonly Statement[]): string {
    this.root = this.inner(this.context, body);
    this.run(body, this.root);
    return this.out.join('');
  }

  /** The text of `body`, which goes nowhere else. */
  private captured(body: readonly Statement[], scope: Scope): [string, End] {
    const {out} = this;
    this.out = [];
    try {
      const end = this.run(body, scope);
      return [this.out.join(''), end];
    } finally {
      this.out = out;
    }
  }

  private run(body: readonly Statement[], scope: Scope): End {
    for (const statement of body) {
      const end = this.statement(statement, scope);
      if (end) return end;
    }
    return undefined;
  }

  private statement(node: Statement, scope: Scope): End {
    switch (node.kind) {
      case 'text':
        this.out.push(node.text);
        return undefined;
      case 'output':
        for (const item of node.items) this.out.push(textOf(evaluate(item, scope)));
        return undefined;
      case 'if': {
        const branch = node.branches.find(({test}) => isTrue(evaluate(test, scope)));
        return this.run(branch?.body ?? node.otherwise, scope);
      }
      case 'for':
        return this.for(node, scope);
      case 'break':
      case 'continue':
        return node.kind;
      case 'set':
        assign(node.target, evaluate(node.value, scope), scope);
        return undefined;
      case 'setBlock': {
        const inner = this.inner(scope, node.body);
        const [text, end] = this.captured(node.body, inner);
        if (end) return end;
        assign(node.target, node.filter ? filteredBlock(node.filter, text, inner) : text, scope);
        return undefined;
      }
      case 'macro':
        scope.set(node.name, this.macro(node, scope));
        return undefined;
      case 'callBlock': {
        const caller = this.macro({signature: node.signature, body: node.body}, scope);
        const callee = evaluate(node.call.callee, scope);
        const [positional, named] = argumentsOf(node.call.given, scope);
        this.out.push(textOf(callValue(callee, positional, new Map([...named, ['caller', caller]]))));
        return undefined;
      }
      case 'filterBlock': {
        const inner = this.inner(scope, node.body);
        const [text, end] = this.captured(node.body, inner);
        if (!end) this.out.push(textOf(filteredBlock(node.filter, text, inner)));
        return end;
      }
      case 'with': {
        const inner = this.inner(scope, node.body);
        node.targets.forEach((target, i) => assign(target, evaluate(node.values[i], scope), inner));
        return this.run(node.body, inner);
      }
      case 'block':
        this.run(node.body, this.inner(this.root, node.body));
        return undefined;
      case 'generation':
        this.run(node.body, this.inner(scope, node.body));
        return undefined;
    }
  }

  private for(node: For, scope: Scope): End {
    const items = evaluate(node.iterable, scope);
    if (!node.recursive) return this.loop(node, items, scope, 0);
    const render = (inner: Value, depth: number): string => {
      const {out} = this;
      this.out = [];
      try {
        this.loop(node, inner, scope, depth, render);
        return this.out.join('');
      } finally {
        this.out = out;
      }
    };
    this.out.push(render(items, 0));
    return undefined;
  }

  /** How the `{% else %}` ended, which belongs to the loop around. */
  private loop(
    node: For,
    items: Value,
    scope: Scope,
    depth: number,
    again?: (items: Value, depth: number) => Value,
  ): End {
    const loop = new Loop(node.test ? chosen(node, node.test, items, scope) : items, depth, again);
    let isEmpty = true;
    for (let item = loop.next(); item !== undefined; item = loop.next()) {
      const inner = this.inner(scope, node.body);
      assign(node.target, item, inner);
      inner.set('loop', loop);
      const end = this.run(node.body, inner);
      // As in Jinja2, an item that was left early counts for {% else %} as none.
      if (!end) isEmpty = false;
      if (end === 'break') break;
    }
    return isEmpty ? this.run(node.otherwise, this.inner(scope, node.otherwise)) : undefined;
  }

  /** @param macro without a name, the body of a {% call %} */
  private macro(
    {name, signature, body}: Omit<Macro, 'kind' | 'name'> & {name?: string},
    scope: Scope,
  ): Callable {
    const reads = (special: string) => !signature.names.includes(special) && isRead(special, body);
    const [takesCaller, takesNamed, takesRest] = ['caller', 'kwargs', 'varargs'].map(reads);
    const call = (positional: readonly Value[], named: Named): Value => {
      const inner = this.inner(scope, body);
      const left = new Map(named);
      const fail = (what: string) => typeError(`macro '${name ?? 'None'}' ${what}`);
      const missing = bindParameters(signature, positional, left, inner);
      if (takesCaller) {
        inner.set(
          'caller',
          firstOf(left.get('caller'), () => new Undefined('No caller defined')),
        );
        left.delete('caller');
      }
      if (takesNamed) inner.set('kwargs', new Dict(left));
      else for (const other of left.keys()) throw fail(`takes no keyword argument '${other}'`);
      const rest = positional.slice(signature.names.length);
      if (takesRest) inner.set('varargs', new Tuple(rest));
      else if (rest.length > 0) throw fail(`takes not more than ${signature.names.length} argument(s)`);
      for (const [parameter, value] of missing)
        inner.set(parameter, value ? evaluate(value, inner) : inner.get(parameter)!);
      return this.captured(body, inner)[0];
    };
    const attributes: Named = new Map<string, Value>([
      ['name', name ?? null],
      ['arguments', new Tuple(signature.names)],
      ['catch_kwargs', takesNamed],
      ['catch_varargs', takesRest],
      ['caller', takesCaller],
    ]);
    return new Callable(
      'Macro',
      call,
      name === undefined ? '<Macro anonymous>' : `<Macro ${quote(name)}>`,
      attributes,
    );
  }
}

/** The items of a loop for which its test holds, found one by one as the loop gets there. */
function* chosen(node: For, test: Expression, items: Value, scope: Scope): Iterable<Value> {
  for (const item of iterate(items)) {
    const inner = new Scope(scope);
    assign(node.target, item, inner);
    if (isTrue(evaluate(test, inner))) yield item;
  }
}

/** Gives parameters their arguments; returns those that got none, with their defaults. */
function bindParameters(
  {names, defaults}: Signature,
  positional: readonly Value[],
  named: Named,
  scope: Scope,
): [string, Expression | undefined][] {
  const missing: [string, Expression | undefined][] = [];
  names.forEach((name, i) => {
    let value = positional[i] as Value | undefined;
    if (value === undefined && named.has(name)) {
      value = named.get(name);
      named.delete(name);
    }
    scope.set(
      name,
      firstOf(value, () => new Undefined(`parameter '${name}' was not provided`)),
    );
    if (value === undefined) missing.push([name, defaults[i - names.length + defaults.length]]);
  });
  return missing;
}

function assign(target: Target, value: Value, scope: Scope): void {
  if (target.kind === 'name') return scope.set(target.name, value);
  if (target.kind === 'namespace') {
    const namespace = scope.get(target.name);
    if (!(namespace instanceof Namespace))
      throw new TemplateError('cannot assign attribute on non-namespace object');
    return namespace.set(target.attribute, value);
  }
  const items = value instanceof List || value instanceof Tuple ? value.items : [...unpacked(value)];
  if (items.length !== target.items.length) {
    const [many, expected] = [items.length > target.items.length, `expected ${target.items.length}`];
    throw new TemplateError(
      many
        ? `too many values to unpack (${expected})`
        : `not enough values to unpack (${expected}, got ${items.length})`,
    );
  }
  target.items.forEach((one, i) => assign(one, items[i], scope));
}

function unpacked(value: Value): Iterable<Value> {
  if (value === null || typeof value === 'bigint' || typeof value === 'number' || typeof value === 'boolean')
    throw typeError(`cannot unpack non-iterable ${typeName(value)} object`);
  return iterate(value);
}

/** Whether the body of a macro reads the variable `name` before it sets it. */
function isRead(name: string, body: unknown): boolean {
  let found = false;
  let isSet = false;
  const visit = (node: unknown, isTarget = false): void => {
    if (found || isSet || typeof node !== 'object' || node === null) return;
    const {kind, name: own} = node as {kind?: string; name?: unknown};
    if (kind === 'name' && own === name) {
      if (isTarget) isSet = true;
      else found = true;
      return;
    }
    for (const [field, child] of Object.entries(node))
      for (const one of Array.isArray(child) ? (child as unknown[]).flat() : [child])
        visit(one, field === 'target' || field === 'targets' || (isTarget && field === 'items'));
  };
  for (const statement of body as unknown[]) visit(statement);
  return found;
}

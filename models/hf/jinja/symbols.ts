/**
 * Finds the names that a part of a template hides from what is around it. Jinja2 decides when it compiles a template
 * whether a name is a variable of the part: it is if the part sets it, without a condition, before it reads it. Until
 * the part has set such a variable, it is undefined, even if the template is rendered with a value of that name.
 */
import type {Expression, Signature, Statement, Target} from './nodes.js';

/** The names that are undefined where a part begins, by the part's body. */
export type Hidden = ReadonlyMap<readonly Statement[], readonly string[]>;

/** A part of a template that has variables of its own, with those of its names that were met so far. */
class Part {
  constructor(
    private readonly parent?: Part,
    /** Whether the part's own variable of this name is undefined where the part begins. */
    readonly names = new Map<string, boolean>(),
    readonly stores = new Set<string>(),
  ) {}

  private knows(name: string): boolean {
    return this.names.has(name) || this.isOuter(name);
  }

  private isOuter(name: string): boolean {
    return this.parent?.knows(name) ?? false;
  }

  load(name: string): void {
    if (!this.knows(name)) this.names.set(name, false);
  }

  store(name: string): void {
    this.stores.add(name);
    if (!this.names.has(name)) this.names.set(name, !this.isOuter(name));
  }

  parameter(name: string): void {
    this.stores.add(name);
    this.names.set(name, false);
  }

  copy(): Part {
    return new Part(this.parent, new Map(this.names), new Set(this.stores));
  }

  /** Takes over the names of the branches of a condition. What only they set is read from around the part until then. */
  join(branches: readonly Part[]): void {
    const stores = new Set(branches.flatMap((branch) => [...branch.stores]));
    for (const name of this.stores) stores.delete(name);
    for (const branch of branches) {
      for (const [name, isUndefined] of branch.names) this.names.set(name, isUndefined);
      for (const name of branch.stores) this.stores.add(name);
    }
    for (const name of stores) this.names.set(name, false);
  }
}

export function hiddenNames(body: readonly Statement[]): Hidden {
  const hidden = new Map<readonly Statement[], readonly string[]>();

  /** A part of its own, and then those inside it. */
  const enter = (
    inner: readonly Statement[],
    parent: Part | undefined,
    first: (part: Part) => void = () => {},
  ) => {
    const part = new Part(parent);
    first(part);
    for (const statement of inner) visit(statement, part);
    const names = [...part.names].filter(([, isUndefined]) => isUndefined).map(([name]) => name);
    if (names.length > 0) hidden.set(inner, names);
    for (const statement of inner) descend(statement, part);
  };

  const descend = (node: Statement, part: Part): void => {
    switch (node.kind) {
      case 'if':
        for (const one of [...node.branches.map((branch) => branch.body), node.otherwise])
          for (const statement of one) descend(statement, part);
        return;
      case 'for':
        enter(node.body, part, (inner) => {
          inner.parameter('loop');
          parameters(node.target, inner);
        });
        return enter(node.otherwise, part);
      case 'macro':
      case 'callBlock':
        return enter(node.body, part, (inner) => signature(node.signature, inner));
      case 'with':
        return enter(node.body, part, (inner) => node.targets.forEach((target) => parameters(target, inner)));
      case 'setBlock':
      case 'filterBlock':
      case 'generation':
      case 'block':
        return enter(node.body, part);
    }
  };

  enter(body, undefined);
  return hidden;
}

function signature({names, defaults}: Signature, part: Part): void {
  for (const name of [...names, 'caller', 'kwargs', 'varargs']) part.parameter(name);
  for (const value of defaults) loads(value, part);
}

function parameters(target: Target, part: Part): void {
  if (target.kind === 'name') part.parameter(target.name);
  else if (target.kind === 'tuple') for (const item of target.items) parameters(item, part);
}

function stores(target: Target, part: Part): void {
  if (target.kind === 'name') part.store(target.name);
  else if (target.kind === 'namespace') part.load(target.name);
  else for (const item of target.items) stores(item, part);
}

/** Meets all names of an expression, whose fields are expressions, lists of them or plain values. */
function loads(node: Expression, part: Part): void {
  if (node.kind === 'name') return part.load(node.name);
  const walk = (value: unknown): void => {
    if (Array.isArray(value)) value.forEach(walk);
    else if (typeof value === 'object' && value !== null)
      if ('kind' in value) loads(value as Expression, part);
      else Object.values(value).forEach(walk);
  };
  Object.values(node).forEach(walk);
}

/** Meets the names that a statement has in the part where it stands, not those of parts inside it. */
function visit(node: Statement, part: Part): void {
  switch (node.kind) {
    case 'output':
      for (const item of node.items) loads(item, part);
      return;
    case 'if': {
      const [first, ...others] = node.branches;
      loads(first.test, part);
      const [body, elifs, otherwise] = [part.copy(), part.copy(), part.copy()];
      for (const statement of first.body) visit(statement, body);
      for (const branch of others) visit({kind: 'if', branches: [branch], otherwise: []}, elifs);
      for (const statement of node.otherwise) visit(statement, otherwise);
      return part.join([body, elifs, otherwise]);
    }
    case 'for':
      return loads(node.iterable, part);
    case 'set':
      loads(node.value, part);
      return stores(node.target, part);
    case 'setBlock':
      return stores(node.target, part);
    case 'macro':
      return part.store(node.name);
    case 'callBlock':
      return loads(node.call, part);
    case 'filterBlock':
      return loads(node.filter, part);
    case 'with':
      for (const value of node.values) loads(value, part);
  }
}

/** The syntax tree of a Jinja template: what parser.ts makes and the interpreter walks. */
import type {Value} from './python/values.js';

export type Expression =
  | {kind: 'const'; value: Value}
  | {kind: 'name'; name: string; line: number}
  | {kind: 'tuple'; items: Expression[]}
  | {kind: 'list'; items: Expression[]}
  | {kind: 'dict'; items: [Expression, Expression][]}
  | {kind: 'conditional'; test: Expression; then: Expression; otherwise?: Expression}
  | {kind: 'or' | 'and'; left: Expression; right: Expression}
  | {kind: 'not'; operand: Expression}
  | {kind: 'compare'; first: Expression; rest: [operator: string, operand: Expression][]}
  | {kind: 'concat'; items: Expression[]}
  | {kind: 'binary'; operator: string; left: Expression; right: Expression}
  | {kind: 'unary'; operator: string; operand: Expression}
  | {kind: 'attribute'; object: Expression; name: string}
  | {kind: 'item'; object: Expression; key: Expression}
  | {kind: 'slice'; start?: Expression; stop?: Expression; step?: Expression}
  | Call
  | Filter
  | {kind: 'test'; operand: Expression; name: string; given: Arguments; line: number};

/** What a call gives: `f(1, a=2, *list, **dict)`. */
export interface Arguments {
  positional: Expression[];
  named: [name: string, value: Expression][];
  list?: Expression;
  dict?: Expression;
}

export interface Call {
  kind: 'call';
  callee: Expression;
  given: Arguments;
}

export interface Filter {
  kind: 'filter';
  /** Undefined in `{% filter name %}` and `{% set x | name %}`, where the operand is the text of the body. */
  operand?: Expression;
  name: string;
  given: Arguments;
  line: number;
}

/** What a value is assigned to: a name, an attribute of a namespace, or a tuple of them. */
export type Target =
  | {kind: 'name'; name: string; line: number}
  | {kind: 'namespace'; name: string; attribute: string}
  | {kind: 'tuple'; items: Target[]};

/** Parameters of a macro, or of the body of a `{% call %}`. The last ones have defaults. */
export interface Signature {
  names: string[];
  defaults: Expression[];
}

export interface For {
  kind: 'for';
  target: Target;
  iterable: Expression;
  test?: Expression;
  recursive: boolean;
  body: Statement[];
  otherwise: Statement[];
}

export interface Macro {
  kind: 'macro';
  name: string;
  signature: Signature;
  body: Statement[];
}

export type Statement =
  | {kind: 'text'; text: string}
  | {kind: 'output'; items: Expression[]}
  | {kind: 'if'; branches: {test: Expression; body: Statement[]}[]; otherwise: Statement[]}
  | For
  | {kind: 'break' | 'continue'; line: number}
  | {kind: 'set'; target: Target; value: Expression}
  | {kind: 'setBlock'; target: Target; filter?: Filter; body: Statement[]}
  | Macro
  | {kind: 'callBlock'; call: Call; signature: Signature; body: Statement[]}
  | {kind: 'filterBlock'; filter: Filter; body: Statement[]}
  | {kind: 'with'; targets: Target[]; values: Expression[]; body: Statement[]}
  /** `{% block %}` sees only the template's own variables; `{% generation %}` is a scope of its own. */
  | {kind: 'block' | 'generation'; body: Statement[]};

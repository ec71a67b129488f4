/** Reads expressions of a template: Jinja2's grammar and its order of operators, which differ from Python's. */
import type {Arguments, Expression, Filter} from './nodes.js';
import {TokenStream} from './token_stream.js';

const COMPARISONS = ['==', '!=', '<', '<=', '>', '>='];
const CONSTANTS: Record<string, boolean | null> = {
  ...{true: true, True: true, false: false, False: false},
  ...{none: null, None: null},
};
export class ExpressionParser extends TokenStream {
  expression(conditional = true): Expression {
    return this.nested(() => (conditional ? this.conditional() : this.or()));
  }

  private conditional(): Expression {
    let then = this.or();
    while (this.skipName('if')) {
      const test = this.or();
      const otherwise = this.skipName('else') ? this.expression() : undefined;
      then = {kind: 'conditional', test, then, otherwise};
    }
    return then;
  }

  private or(): Expression {
    let left = this.and();
    while (this.skipName('or')) left = {kind: 'or', left, right: this.and()};
    return left;
  }

  private and(): Expression {
    let left = this.not();
    while (this.skipName('and')) left = {kind: 'and', left, right: this.not()};
    return left;
  }

  private not(): Expression {
    if (!this.skipName('not')) return this.comparison();
    return {kind: 'not', operand: this.nested(() => this.not())};
  }

  private comparison(): Expression {
    const first = this.sum();
    const rest: [string, Expression][] = [];
    for (;;) {
      if (COMPARISONS.includes(this.current.type)) rest.push([this.next().type, this.sum()]);
      else if (this.skipName('in')) rest.push(['in', this.sum()]);
      else if (this.isName('not') && this.look().type === 'name' && this.look().value === 'in') {
        this.at += 2;
        rest.push(['not in', this.sum()]);
      } else return rest.length === 0 ? first : {kind: 'compare', first, rest};
    }
  }

  private binary(operators: string[], operand: () => Expression): Expression {
    let left = operand();
    while (operators.includes(this.current.type))
      left = {kind: 'binary', operator: this.next().type, left, right: operand()};
    return left;
  }

  private sum(): Expression {
    return this.binary(['+', '-'], () => this.concatenation());
  }

  private concatenation(): Expression {
    const items = [this.product()];
    while (this.skip('~')) items.push(this.product());
    return items.length === 1 ? items[0] : {kind: 'concat', items};
  }

  private product(): Expression {
    return this.binary(['*', '/', '//', '%'], () => this.binary(['**'], () => this.unary()));
  }

  private unary(filtered = true): Expression {
    const sign = this.current.type;
    let operand: Expression;
    if (sign === '-' || sign === '+') {
      this.next();
      operand = {kind: 'unary', operator: sign, operand: this.nested(() => this.unary(false))};
    } else operand = this.primary();
    operand = this.postfix(operand);
    return filtered ? this.filtered(operand) : operand;
  }

  protected primary(): Expression {
    const {type, value, line} = this.current;
    switch (type) {
      case 'name':
        this.next();
        return Object.hasOwn(CONSTANTS, value)
          ? {kind: 'const', value: CONSTANTS[value]}
          : {kind: 'name', name: value, line};
      case 'string': {
        let text = '';
        while (this.current.type === 'string') text += this.next().value;
        return {kind: 'const', value: text};
      }
      case 'integer':
        this.next();
        return {kind: 'const', value: BigInt(value.replaceAll('_', ''))};
      case 'float':
        this.next();
        return {kind: 'const', value: Number(value.replaceAll('_', ''))};
      case '(': {
        this.next();
        const tuple = this.tuple({parentheses: true});
        this.expect(')');
        return tuple;
      }
      case '[':
        this.next();
        return {kind: 'list', items: this.separated(']', () => this.expression())};
      case '{':
        this.next();
        return {
          kind: 'dict',
          items: this.separated('}', () => {
            const key = this.expression();
            this.expect(':');
            return [key, this.expression()] as [Expression, Expression];
          }),
        };
    }
    this.fail(`unexpected ${this.described()}`);
  }

  /** Items between commas up to `end`, which may follow a comma. */
  private separated<T>(end: string, parse: () => T): T[] {
    const items: T[] = [];
    while (this.current.type !== end) {
      if (items.length > 0) this.expect(',');
      if (this.current.type === end) break;
      items.push(parse());
    }
    this.next();
    return items;
  }

  /** An expression, or a tuple if there are commas. */
  tuple({conditional = true, parentheses = false, end = ''} = {}): Expression {
    const items: Expression[] = [];
    let isTuple = false;
    for (;;) {
      if (items.length > 0) this.expect(',');
      if (['}}', '%}', ')'].includes(this.current.type) || (end !== '' && this.isName(end))) break;
      items.push(this.expression(conditional));
      if (this.current.type !== ',') break;
      isTuple = true;
    }
    if (isTuple || (items.length === 0 && parentheses)) return {kind: 'tuple', items};
    if (items.length === 0) this.fail(`expected an expression but found ${this.described()}`);
    return items[0];
  }

  private postfix(start: Expression): Expression {
    let node = start;
    for (;;) {
      if (this.skip('.')) {
        const {type, value} = this.next();
        if (type === 'name') node = {kind: 'attribute', object: node, name: value};
        else if (type === 'integer')
          node = {kind: 'item', object: node, key: {kind: 'const', value: BigInt(value.replaceAll('_', ''))}};
        else this.fail('expected name or number');
      } else if (this.skip('[')) node = {kind: 'item', object: node, key: this.subscripts()};
      else if (this.current.type === '(') node = {kind: 'call', callee: node, given: this.call()};
      else return node;
    }
  }

  private subscripts(): Expression {
    const items: Expression[] = [];
    while (this.current.type !== ']') {
      if (items.length > 0) this.expect(',');
      items.push(this.subscript());
    }
    this.next();
    return items.length === 1 ? items[0] : {kind: 'tuple', items};
  }

  private subscript(): Expression {
    const start = this.current.type === ':' ? undefined : this.expression();
    if (!this.skip(':')) return start!;
    const bound = () => ([':', ']', ','].includes(this.current.type) ? undefined : this.expression());
    const stop = bound();
    const step = this.skip(':') ? bound() : undefined;
    return {kind: 'slice', start, stop, step};
  }

  protected call(): Arguments {
    const {line} = this.expect('(');
    const given: Arguments = {positional: [], named: []};
    const ensure = (holds: boolean) =>
      holds || this.fail('invalid syntax for function call expression', line);
    for (let isFirst = true; this.current.type !== ')'; isFirst = false) {
      if (!isFirst) {
        this.expect(',');
        if (this.current.type === ')') break;
      }
      if (this.skip('*')) {
        ensure(!given.list && !given.dict);
        given.list = this.expression();
      } else if (this.skip('**')) {
        ensure(!given.dict);
        given.dict = this.expression();
      } else if (this.current.type === 'name' && this.look().type === '=') {
        ensure(!given.dict);
        const name = this.next().value;
        this.next();
        given.named.push([name, this.expression()]);
      } else {
        ensure(!given.list && !given.dict && given.named.length === 0);
        given.positional.push(this.expression());
      }
    }
    this.next();
    return given;
  }

  private filtered(start: Expression): Expression {
    let node = start;
    for (;;) {
      if (this.current.type === '|') node = this.filters(node)!;
      else if (this.isName('is')) node = this.test(node);
      else if (this.current.type === '(') node = {kind: 'call', callee: node, given: this.call()};
      else return node;
    }
  }

  private dottedName(): string {
    let name = this.expect('name').value;
    while (this.skip('.')) name += `.${this.expect('name').value}`;
    return name;
  }

  /** A chain of filters. @param inline whether the first has no `|` before it */
  protected filters(start: Expression | undefined, inline = false): Filter | undefined {
    let operand = start;
    for (let bare = inline; bare || this.current.type === '|'; bare = false) {
      if (!bare) this.next();
      const {line} = this.current;
      const name = this.dottedName();
      const given = this.current.type === '(' ? this.call() : {positional: [], named: []};
      operand = {kind: 'filter', operand, name, given, line};
    }
    return operand as Filter | undefined;
  }

  private test(operand: Expression): Expression {
    const {line} = this.next();
    const negated = this.skipName('not');
    const name = this.dottedName();
    let given: Arguments = {positional: [], named: []};
    if (this.current.type === '(') given = this.call();
    else if (
      ['name', 'string', 'integer', 'float', '[', '{'].includes(this.current.type) &&
      !this.isName('else', 'or', 'and')
    ) {
      if (this.isName('is')) this.fail('You cannot chain multiple tests with is');
      given.positional.push(this.postfix(this.primary()));
    }
    const test: Expression = {kind: 'test', operand, name, given, line};
    return negated ? {kind: 'not', operand: test} : test;
  }
}

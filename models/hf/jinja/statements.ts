/** Reads a template's statements: text, `{{ }}` and `{% %}`. */
import {ExpressionParser} from './parser.js';
import type {Expression, Signature, Statement, Target} from './nodes.js';

/** Tags that would read other files, of which a chat template has none. */
const OTHER_FILES = ['extends', 'include', 'import', 'from'];

/**
 * The statements of a template.
 * @throws TemplateError with the line where the text is no template
 */
export function parse(template: string): Statement[] {
  return new StatementParser(template).template();
}

class StatementParser extends ExpressionParser {
  template(): Statement[] {
    return this.body();
  }

  /** Statements up to one of the tags `ends`, whose name is then the current token; or up to the template's end. */
  private body(...ends: string[]): Statement[] {
    const body: Statement[] = [];
    for (;;) {
      const {type, value} = this.current;
      if (type === 'data') {
        this.next();
        body.push({kind: 'text', text: value});
      } else if (type === '{{') {
        this.next();
        body.push({kind: 'output', items: [this.tuple()]});
        this.expect('}}');
      } else if (type === '{%') {
        this.next();
        if (this.isName(...ends)) return body;
        body.push(this.nested(() => this.statement()));
        this.expect('%}');
      } else if (ends.length === 0 && type === 'end') return body;
      else
        this.fail(
          `unexpected ${this.described()}: the tag ${ends.map((end) => `{% ${end} %}`).join(' or ')} is missing`,
        );
    }
  }

  /** The body of a tag, from the end of the tag to one of `ends`. */
  private block(...ends: string[]): Statement[] {
    this.skip(':');
    this.expect('%}');
    return this.body(...ends);
  }

  /** block, up to `end`, which it passes over. */
  private whole(end: string): Statement[] {
    const body = this.block(end);
    this.next();
    return body;
  }

  private statement(): Statement {
    if (this.current.type !== 'name') this.fail(`tag name expected but found ${this.described()}`);
    const {value: tag, line} = this.next();
    switch (tag) {
      case 'if':
        return this.if();
      case 'for':
        return this.for();
      case 'set':
        return this.set();
      case 'macro': {
        const name = this.name();
        return {kind: 'macro', name, signature: this.signature(), body: this.whole('endmacro')};
      }
      case 'call': {
        const signature = this.isOpen() ? this.signature() : {names: [], defaults: []};
        const call = this.expression();
        if (call.kind !== 'call') this.fail('expected call', line);
        return {kind: 'callBlock', call, signature, body: this.whole('endcall')};
      }
      case 'filter':
        return {kind: 'filterBlock', filter: this.filters(undefined, true)!, body: this.whole('endfilter')};
      case 'with':
        return this.with();
      case 'print':
        return this.print();
      case 'block':
        return this.namedBlock();
      case 'generation':
        return {kind: 'generation', body: this.whole('endgeneration')};
      case 'break':
      case 'continue':
        return {kind: tag, line};
    }
    if (OTHER_FILES.includes(tag))
      this.fail(`{% ${tag} %} needs another file, which a chat template has not`, line);
    this.fail(tag === 'autoescape' ? '{% autoescape %} is not supported' : `unknown tag '${tag}'`, line);
  }

  private isOpen(): boolean {
    return this.current.type === '(';
  }

  private if(): Statement {
    const branches: {test: Expression; body: Statement[]}[] = [];
    let otherwise: Statement[] = [];
    for (;;) {
      const test = this.tuple({conditional: false});
      branches.push({test, body: this.block('elif', 'else', 'endif')});
      const {value} = this.next();
      if (value === 'elif') continue;
      if (value === 'else') otherwise = this.whole('endif');
      return {kind: 'if', branches, otherwise};
    }
  }

  private for(): Statement {
    const target = this.target('in', false);
    if (!this.skipName('in')) this.fail(`expected in but found ${this.described()}`);
    const iterable = this.tuple({conditional: false, end: 'recursive'});
    const test = this.skipName('if') ? this.expression() : undefined;
    const recursive = this.skipName('recursive');
    const body = this.block('endfor', 'else');
    const otherwise = this.next().value === 'else' ? this.whole('endfor') : [];
    return {kind: 'for', target, iterable, test, recursive, body, otherwise};
  }

  private set(): Statement {
    const target = this.target('', true);
    if (this.skip('=')) return {kind: 'set', target, value: this.tuple()};
    const filter = this.filters(undefined);
    return {kind: 'setBlock', target, filter, body: this.whole('endset')};
  }

  private with(): Statement {
    const targets: Target[] = [];
    const values: Expression[] = [];
    while (this.current.type !== '%}') {
      if (targets.length > 0) this.expect(',');
      targets.push(this.target('', false));
      this.expect('=');
      values.push(this.expression());
    }
    return {kind: 'with', targets, values, body: this.whole('endwith')};
  }

  private print(): Statement {
    const items: Expression[] = [];
    while (this.current.type !== '%}') {
      if (items.length > 0) this.expect(',');
      items.push(this.expression());
    }
    return {kind: 'output', items};
  }

  private namedBlock(): Statement {
    const name = this.expect('name').value;
    this.skipName('scoped');
    if (this.skipName('required'))
      this.fail('a required block needs another file, which a chat template has not');
    const body = this.whole('endblock');
    this.skipName(name);
    return {kind: 'block', body};
  }

  private name(): string {
    const target = this.oneTarget(false);
    if (target.kind !== 'name') this.fail('expected a name');
    return target.name;
  }

  private signature(): Signature {
    const names: string[] = [];
    const defaults: Expression[] = [];
    this.expect('(');
    while (this.current.type !== ')') {
      if (names.length > 0) this.expect(',');
      names.push(this.name());
      if (this.skip('=')) defaults.push(this.expression());
      else if (defaults.length > 0) this.fail('non-default argument follows default argument');
    }
    this.next();
    if (new Set(names).size < names.length) this.fail('two parameters have one name');
    return {names, defaults};
  }

  /** A name or several, up to the word `end`. @param attributes whether an attribute of a namespace is one */
  private target(end: string, attributes: boolean): Target {
    const items: Target[] = [];
    let isTuple = false;
    for (;;) {
      if (items.length > 0) this.expect(',');
      if (['}}', '%}', ')'].includes(this.current.type) || (end !== '' && this.isName(end))) break;
      items.push(this.oneTarget(attributes));
      if (this.current.type !== ',') break;
      isTuple = true;
    }
    if (isTuple) return {kind: 'tuple', items};
    if (items.length === 0) this.fail(`expected a name but found ${this.described()}`);
    return items[0];
  }

  private oneTarget(attributes: boolean): Target {
    if (this.skip('(')) {
      const inner = this.target('', false);
      this.expect(')');
      return inner;
    }
    const node = this.primary();
    if (node.kind !== 'name') this.fail("can't assign to what is no name");
    if (attributes && this.skip('.'))
      return {kind: 'namespace', name: node.name, attribute: this.expect('name').value};
    return node;
  }
}

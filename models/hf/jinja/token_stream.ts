/** The tokens of a template as a parser takes them, one after the other. */
import {tokenize, type Token} from './lexer.js';
import {TemplateError} from './python/values.js';

/** Deeper nesting is refused before it overflows the stack. */
const MOST_DEPTH = 200;

export class TokenStream {
  private readonly tokens: Token[];
  protected at = 0;
  private depth = 0;

  constructor(template: string) {
    this.tokens = tokenize(template);
  }

  protected get current(): Token {
    return this.tokens[this.at];
  }

  protected next(): Token {
    const token = this.current;
    if (token.type !== 'end') this.at++;
    return token;
  }

  protected fail(message: string, line = this.current.line): never {
    throw new TemplateError(`line ${line}: ${message}`);
  }

  protected isName(...names: string[]): boolean {
    return this.current.type === 'name' && names.includes(this.current.value);
  }

  protected skipName(name: string): boolean {
    return this.isName(name) && this.next() !== undefined;
  }

  protected skip(type: string): boolean {
    return this.current.type === type && this.next() !== undefined;
  }

  protected expect(type: string): Token {
    if (this.current.type !== type) this.fail(`expected ${type} but found ${this.described()}`);
    return this.next();
  }

  protected described(): string {
    const {type, value} = this.current;
    return type === 'end' ? 'the end of the template' : JSON.stringify(value || type);
  }

  protected look(): Token {
    return this.tokens[Math.min(this.at + 1, this.tokens.length - 1)];
  }

  /** @throws TemplateError if `parse` nests too deep */
  protected nested<T>(parse: () => T): T {
    if (++this.depth > MOST_DEPTH) this.fail(`it is nested more than ${MOST_DEPTH} deep`);
    const parsed = parse();
    this.depth--;
    return parsed;
  }
}

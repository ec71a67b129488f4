/** Cuts a template into tokens as Jinja2 does with trim_blocks and lstrip_blocks, which chat templates are written for. */
import {PYTHON_SPACE, strip} from './python/characters.js';
import {TemplateError} from './python/values.js';

export interface Token {
  /** `data`, `name`, `string`, `integer`, `float`, `{{`, `}}`, `{%`, `%}`, `end`, or an operator's own text. */
  type: string;
  /** The text of data and strings; as it is written of others. */
  value: string;
  line: number;
}

const SPACE = `[${PYTHON_SPACE}]`;
const RAW_BEGIN = `\\{%([-+]?)${SPACE}*raw${SPACE}*(?:-%\\}${SPACE}*|%\\})`;
const BEGIN = new RegExp(`${RAW_BEGIN}|(\\{\\{|\\{%|\\{#)([-+]?)`, 'gu');
const RAW_END = new RegExp(`\\{%([-+]?)${SPACE}*endraw${SPACE}*(?:\\+%\\}|-%\\}${SPACE}*|%\\}\\n?)`, 'gu');
const COMMENT_END = new RegExp(`\\+#\\}|-#\\}${SPACE}*|#\\}\\n?`, 'gu');
const BLOCK_END = new RegExp(`\\+%\\}|-%\\}${SPACE}*|%\\}\\n?`, 'uy');
const VARIABLE_END = new RegExp(`-\\}\\}${SPACE}*|\\}\\}`, 'uy');
const BLANKS = new RegExp(`^${SPACE}+$`, 'u');
const INSIDE: [type: string, RegExp][] = [
  ['blank', new RegExp(`${SPACE}+`, 'uy')],
  ['float', /(?<!\.)(?:\d+_)*\d+(?:(?:\.(?:\d+_)*\d+)?e[+-]?(?:\d+_)*\d+|\.(?:\d+_)*\d+)/iuy],
  ['integer', /0b(?:_?[01])+|0o(?:_?[0-7])+|0x(?:_?[\da-f])+|[1-9](?:_?\d)*|0(?:_?0)*/iuy],
  ['name', /[\p{L}\p{N}_\p{XID_Continue}]+/uy],
  ['string', /'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"/suy],
  ['operator', /\/\/|\*\*|==|!=|>=|<=|[-+/*%~[\](){}><=.:|,;]/uy],
];
const IDENTIFIER = /^[\p{XID_Start}_]\p{XID_Continue}*$/u;
const CLOSING: Record<string, string> = {'(': ')', '[': ']', '{': '}'};

/** @throws TemplateError with the line where the text is no template */
export function tokenize(template: string): Token[] {
  return new Lexer(template.replace(/\r\n?/g, '\n').replace(/\n$/, '')).run();
}

class Lexer {
  private readonly tokens: Token[] = [];
  private at = 0;
  /** Where `line` was counted to. */
  private counted = 0;
  private line = 1;

  constructor(private readonly source: string) {}

  run(): Token[] {
    while (this.at < this.source.length) this.takeText();
    this.add('end', '');
    return this.tokens;
  }

  private add(type: string, value: string): void {
    for (; this.counted < this.at; this.counted++) if (this.source[this.counted] === '\n') this.line++;
    this.tokens.push({type, value, line: this.line});
  }

  private fail(message: string): never {
    this.add('end', '');
    throw new TemplateError(`line ${this.line}: ${message}`);
  }

  private addText(text: string): void {
    if (text !== '') this.add('data', text);
  }

  /** Text up to the next tag, and the tag. */
  private takeText(): void {
    BEGIN.lastIndex = this.at;
    const begin = BEGIN.exec(this.source);
    if (!begin) {
      this.addText(this.source.slice(this.at));
      this.at = this.source.length;
      return;
    }
    const [whole, rawSign, type, sign] = begin;
    const text = this.source.slice(this.at, begin.index);
    this.addText(this.stripped(text, type === undefined ? rawSign : sign, type !== '{{'));
    this.at = begin.index + whole.length;
    if (type === undefined) this.takeRaw();
    else if (type === '{#') this.takeUntil(COMMENT_END, 'the end of a comment is missing');
    else this.takeTag(type);
  }

  /**
   * Text before a tag, without what the tag strips: with `-` all blanks; else those at the beginning of the tag's
   * line, except before a variable or with `+`.
   */
  private stripped(text: string, sign: string, isBlock: boolean): string {
    if (sign === '-') return strip(text, 'right');
    if (sign === '+' || !isBlock) return text;
    const line = text.lastIndexOf('\n') + 1;
    const startsLine = line > 0 || this.at === 0 || this.source[this.at - 1] === '\n';
    return startsLine && BLANKS.test(text.slice(line)) ? text.slice(0, line) : text;
  }

  /** Moves past the next match of `end`. */
  private takeUntil(end: RegExp, missing: string): RegExpExecArray | undefined {
    if (this.at >= this.source.length) return undefined;
    end.lastIndex = this.at;
    const match = end.exec(this.source);
    if (!match) this.fail(missing);
    this.at = match.index + match[0].length;
    return match;
  }

  private takeRaw(): void {
    const {at} = this;
    const end = this.takeUntil(RAW_END, '{% endraw %} is missing');
    if (!end) return;
    const after = this.at;
    this.at = at;
    const text = this.stripped(this.source.slice(at, end.index), end[1], true);
    this.at = after;
    this.addText(text);
  }

  private takeTag(type: string): void {
    this.add(type, type);
    const [end, closing] = type === '{%' ? [BLOCK_END, '%}'] : [VARIABLE_END, '}}'];
    const open: string[] = [];
    while (this.at < this.source.length) {
      const ended = open.length === 0 ? matchAt(end, this.source, this.at) : undefined;
      if (ended !== undefined) {
        this.add(closing, closing);
        this.at += ended.length;
        return;
      }
      this.takeInside(open);
    }
  }

  private takeInside(open: string[]): void {
    for (const [type, expression] of INSIDE) {
      const value = matchAt(expression, this.source, this.at);
      if (value === undefined) continue;
      if (type === 'operator') this.balance(value, open);
      if (type === 'name' && !IDENTIFIER.test(value)) this.fail(`${value} is no name`);
      if (type === 'string') this.add(type, this.unescape(value.slice(1, -1)));
      else if (type !== 'blank') this.add(type === 'operator' ? value : type, value);
      this.at += value.length;
      return;
    }
    this.fail(
      `unexpected character ${JSON.stringify(String.fromCodePoint(this.source.codePointAt(this.at)!))}`,
    );
  }

  private balance(bracket: string, open: string[]): void {
    if (bracket in CLOSING) open.push(CLOSING[bracket]);
    else if (')]}'.includes(bracket)) {
      const expected = open.pop();
      if (expected !== bracket) this.fail(`unexpected '${bracket}'`);
    }
  }

  /** Python's escapes. A backslash before any other character stays; before one beyond ASCII it spells that out. */
  private unescape(text: string): string {
    if (!text.includes('\\')) return text;
    const ascii = text.replace(/[^\0-\x7f]/gu, (character) => {
      const code = character.codePointAt(0)!;
      if (code < 0x100) return `\\x${hex(code, 2)}`;
      return code < 0x10000 ? `\\u${hex(code, 4)}` : `\\U${hex(code, 8)}`;
    });
    const escape =
      /\\(?:(\n)|([abfnrtv\\'"])|([0-7]{1,3})|x([\da-fA-F]{2})|u([\da-fA-F]{4})|U([\da-fA-F]{8})|([xuUN])|.)/gs;
    return ascii.replace(escape, (all: string, ...groups: (string | undefined)[]) => {
      const [newline, simple, octal, x, u, long, bad] = groups;
      if (newline) return '';
      if (simple) return ESCAPES[simple];
      const code = octal ? parseInt(octal, 8) : parseInt(x ?? u ?? long ?? '', 16);
      if (code <= 0x10ffff) return String.fromCodePoint(code);
      if (bad === undefined && long === undefined) return all;
      this.fail(`the escape ${all} in a string is unknown`);
    });
  }
}

const hex = (code: number, digits: number): string => code.toString(16).padStart(digits, '0');

const ESCAPES: Record<string, string> = {
  ...{a: '\x07', b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v'},
  ...{'\\': '\\', "'": "'", '"': '"'},
};

function matchAt(expression: RegExp, text: string, at: number): string | undefined {
  expression.lastIndex = at;
  return expression.exec(text)?.[0];
}

/** A chat model's template, which turns messages into the text form that the model was trained on. */
import {existsSync, readFileSync} from 'node:fs';
import * as path from 'node:path';

import {Template, fromJson} from './jinja/template.js';
import {forbidText} from './jinja/python/text.js';
import {Dict, List, type Value} from './jinja/python/values.js';
import type {Fields} from './json_file.js';
import {namedTokens} from './tokenizer_file.js';

/** A part of a message's content. */
export interface TextPart {
  type: 'text';
  text: string;
}

export interface ChatMessage {
  /** Who speaks: usually `system`, `user` or `assistant`. The template decides which roles it takes. */
  role: string;
  /** A text, or a list of parts for templates that take lists. Other templates refuse a list. */
  content: string | readonly TextPart[];
}

/** File of the template in newer models; older ones have it in tokenizer_config.json. */
const FILE = 'chat_template.jinja';
/** Places where a template may be, for error messages. */
export const CHAT_TEMPLATES = `${FILE}, or chat_template in tokenizer_config.json`;
/** Name of the template for plain messages, if a model has several. */
const NAME = 'default';

/** A Hugging Face chat template: a Jinja template that comes with the model. */
export class ChatTemplate {
  private parsed: Template | undefined;

  private constructor(
    /** Where the template was found, for error messages. */
    private readonly source: string,
    private readonly text: string,
    private readonly specialTokens: ReadonlyMap<string, string>,
  ) {}

  /**
   * Reads `dir/chat_template.jinja` or else the field `chat_template` of tokenizer_config.json.
   * @param config tokenizer_config.json, with special_tokens_map.json
   * @returns undefined if the model has neither
   * @throws Error naming the file, the field and what is wrong with it
   */
  static read(dir: string, config: Fields): ChatTemplate | undefined {
    const tokens = namedTokens(config);
    const file = path.join(dir, FILE);
    if (existsSync(file)) return new ChatTemplate(file, readText(file), tokens);
    if (!config.has('chat_template')) return undefined;
    const text = config.get<Templates>(
      'chat_template',
      'a template, or a list of {name, template}',
      isTemplate,
    );
    const one = typeof text === 'string' ? text : text.filter(({name}) => name === NAME).at(-1)?.template;
    if (one === undefined) throw config.error('chat_template', `a list with a template named '${NAME}'`);
    return new ChatTemplate(`${config.file}: chat_template`, one, tokens);
  }

  /**
   * The messages as text, with special tokens, up to the point where the assistant's answer begins. It is the text of
   * transformers' `apply_chat_template` with `add_generation_prompt`, except that a template which would write a list
   * of parts in Python's notation refuses it.
   * @throws Error if the template is no valid Jinja template, uses a part of Jinja that is not supported, or refuses
   *     the messages
   */
  render(messages: readonly ChatMessage[]): string {
    try {
      this.parsed ??= new Template(this.text);
      return this.parsed.render([
        ...this.specialTokens,
        ['messages', new List(messages.map(messageValue))],
        ['tools', null],
        ['documents', null],
        ['add_generation_prompt', true],
      ]);
    } catch (error) {
      throw new Error(`${this.source} does not take these messages: ${(error as Error).message}`, {
        cause: error,
      });
    }
  }
}

function readText(file: string): string {
  try {
    // Python's utf-8 keeps a byte-order mark as a character, too.
    return new TextDecoder('utf-8', {fatal: true, ignoreBOM: true}).decode(readFileSync(file));
  } catch (error) {
    throw new Error(`${file}: must be a template in UTF-8: ${(error as Error).message}`, {cause: error});
  }
}

const NO_LIST = 'it takes content as a text, not as a list of parts';

function messageValue(message: ChatMessage): Value {
  const value = fromJson(message);
  const content = value instanceof Dict ? value.get('content') : undefined;
  if (content instanceof List)
    for (const one of [content, ...content.items])
      if (one instanceof List || one instanceof Dict) forbidText(one, NO_LIST);
  return value;
}

type Templates = string | {name: string; template: string}[];

function isTemplate(value: unknown): boolean {
  const isNamed = (one: unknown) =>
    ['name', 'template'].every(
      (field) => typeof (one as Record<string, unknown> | null)?.[field] === 'string',
    );
  return typeof value === 'string' || (Array.isArray(value) && value.every(isNamed));
}

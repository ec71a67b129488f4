/** A chat model's template, which turns messages into the text form that the model was trained on. */
import {existsSync, readFileSync} from 'node:fs';
import * as path from 'node:path';
import {Template} from '@huggingface/jinja';

import type {Fields} from './json_file.js';
import {contentOf} from './tokenizer_file.js';

export interface ChatMessage {
  /** Who speaks: usually `system`, `user` or `assistant`. The template decides which roles it takes. */
  role: string;
  content: string;
}

const SPECIAL_TOKENS = ['bos_token', 'eos_token', 'unk_token', 'pad_token'];
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
    private readonly specialTokens: Readonly<Record<string, string>>,
  ) {}

  /**
   * Reads `dir/chat_template.jinja` or else the field `chat_template` of tokenizer_config.json.
   * @param config tokenizer_config.json
   * @returns undefined if the model has neither
   * @throws Error naming the file, the field and what is wrong with it
   */
  static read(dir: string, config: Fields): ChatTemplate | undefined {
    const tokens = SPECIAL_TOKENS.flatMap((name) => {
      const content = contentOf(config.values[name]);
      return content === undefined ? [] : [[name, content] as const];
    });
    const file = path.join(dir, FILE);
    if (existsSync(file))
      return new ChatTemplate(file, readFileSync(file, 'utf8'), Object.fromEntries(tokens));
    if (!config.has('chat_template')) return undefined;
    const text = config.get<Templates>(
      'chat_template',
      'a template, or a list of {name, template}',
      isTemplate,
    );
    const one = typeof text === 'string' ? text : text.find(({name}) => name === NAME)?.template;
    if (one === undefined) throw config.error('chat_template', `a list with a template named '${NAME}'`);
    return new ChatTemplate(`${config.file}: chat_template`, one, Object.fromEntries(tokens));
  }

  /**
   * The messages as text, with special tokens, up to the point where the assistant's answer begins.
   * @throws Error if the template is no valid Jinja template or refuses the messages
   */
  render(messages: readonly ChatMessage[]): string {
    try {
      this.parsed ??= new Template(this.text);
      return this.parsed.render({messages, add_generation_prompt: true, ...this.specialTokens});
    } catch (error) {
      throw new Error(`${this.source} does not take these messages: ${(error as Error).message}`, {
        cause: error,
      });
    }
  }
}

type Templates = string | {name: string; template: string}[];

function isTemplate(value: unknown): boolean {
  const isNamed = (one: unknown) =>
    ['name', 'template'].every(
      (field) => typeof (one as Record<string, unknown> | null)?.[field] === 'string',
    );
  return typeof value === 'string' || (Array.isArray(value) && value.every(isNamed));
}

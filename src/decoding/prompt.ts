/** Turns a prompt, which is a text or a conversation, into the tokens that an answer begins with. */
import {CHAT_TEMPLATES, type ChatMessage} from '../../models/hf/chat_template.js';
import type {LlamaTokenizer} from '../../models/hf/tokenizer.js';
import {checkList} from '../../backend/check.js';

/** A text to continue; or a conversation that a chat model is to answer. */
export type Prompt = string | readonly ChatMessage[];

/** What a prompt's tokens must fit into. */
export interface Room {
  /** Positions of the context. */
  contextLength: number;
  /** Rows of the model's embedding. */
  vocabSize: number;
}

/**
 * Checks that the model has a row of its embedding for every token. A tokenizer may have more tokens than the model,
 * for example a `[PAD]` that was added to the tokenizer alone.
 * @throws Error naming the first token that has none
 */
export function assertEmbedded(
  caller: string,
  tokenizer: LlamaTokenizer,
  tokens: readonly number[],
  vocabSize: number,
): void {
  const beyond = tokens.find((token) => token >= vocabSize);
  if (beyond !== undefined)
    throw new Error(
      `[${caller}] every token must be below the model's vocab_size ${vocabSize} but ${JSON.stringify(tokenizer.tokenOf(beyond))} of ${tokenizer.dir} has the id ${beyond}`,
    );
}

/**
 * The prompt's tokens, one or more.
 * @throws Error on a prompt of another type, without tokens, longer than the context, with a token that the model has no embedding for, or of
 *     messages that have no chat template or that it refuses
 */
export function encodePrompt(
  tokenizer: LlamaTokenizer,
  {contextLength, vocabSize}: Room,
  prompt: Prompt,
): number[] {
  const isText = typeof prompt === 'string';
  if (!isText && !Array.isArray(prompt))
    throw new Error(
      `[generate] prompt must be a text or a list of messages but is ${prompt === null ? 'null' : typeof prompt}`,
    );
  const text = isText ? prompt : chatText(tokenizer, prompt);
  // A token is rarely longer than a few characters.
  if (text.length > 4 * contextLength && tokenizer.isFarLongerThan(text, contextLength))
    throw new Error(
      `[generate] prompt has more than ${2 * contextLength} tokens but the context holds ${contextLength}`,
    );
  const tokens = tokenizer.encode(text, {addSpecialTokens: isText});
  if (tokens.length === 0)
    throw new Error('[generate] prompt has no tokens, and the tokenizer adds none at the beginning');
  if (tokens.length > contextLength)
    throw new Error(`[generate] prompt has ${tokens.length} tokens but the context holds ${contextLength}`);
  assertEmbedded('generate', tokenizer, tokens, vocabSize);
  return tokens;
}

function isPart(value: unknown): boolean {
  const {type, text} = (value ?? {}) as {type?: unknown; text?: unknown};
  return type === 'text' && typeof text === 'string';
}

function chatText(tokenizer: LlamaTokenizer, messages: readonly ChatMessage[]): string {
  const isMessage = (value: unknown) => {
    const {role, content} = (value ?? {}) as Partial<Record<keyof ChatMessage, unknown>>;
    return typeof role === 'string' && (typeof content === 'string' || Array.isArray(content));
  };
  checkList('generate', 'prompt', messages, [isMessage, '{role, content}']);
  for (const {content} of messages)
    if (typeof content !== 'string')
      checkList('generate', 'content of a message', content, [isPart, "{type: 'text', text}"]);
  if (!tokenizer.chatTemplate)
    throw new Error(
      `[generate] prompt must be a text, not messages: ${tokenizer.dir} has no chat template (${CHAT_TEMPLATES})`,
    );
  return tokenizer.chatTemplate.render(messages);
}

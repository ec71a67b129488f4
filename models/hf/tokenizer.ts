/** A Hugging Face tokenizer: text to token ids, and ids back to text, all at once or as they come. */
import type {Tokenizer} from '@huggingface/tokenizers';

import {ChatTemplate} from './chat_template.js';
import {contentOf, readTokenizer, type TokenizerFiles} from './tokenizer_file.js';

/** Characters that are counted at a time. */
const COUNTED = 4096;

export class LlamaTokenizer {
  readonly bosId?: number;
  /** Of tokenizer_config.json's `eos_token`; the model's config may name more. */
  readonly eosIds: ReadonlySet<number>;
  /** Of a chat model; undefined for others. */
  readonly chatTemplate?: ChatTemplate;
  private readonly special: ReadonlySet<number>;

  private readonly file: string;
  private readonly tokenizer: Tokenizer;

  private constructor(
    readonly dir: string,
    {file, tokenizer, config}: TokenizerFiles,
  ) {
    this.file = file;
    this.tokenizer = tokenizer;
    const idOf = (field: string): number | undefined => {
      const content = contentOf(config.values[field]);
      return content === undefined ? undefined : tokenizer.token_to_id(content);
    };
    this.chatTemplate = ChatTemplate.read(dir, config);
    this.bosId = idOf('bos_token');
    const eosId = idOf('eos_token');
    this.eosIds = new Set(eosId === undefined ? [] : [eosId]);
    const added = [...tokenizer.get_added_tokens_decoder()];
    this.special = new Set(added.filter(([, {special}]) => special).map(([id]) => id));
  }

  /**
   * Reads `dir/tokenizer.json` and, if it is there, `dir/tokenizer_config.json`.
   * @throws Error naming the file, the field and what is wrong with it
   */
  static load(dir: string): LlamaTokenizer {
    return new LlamaTokenizer(dir, readTokenizer(dir));
  }

  /**
   * The text's ids, with the special tokens (as a rule a first BOS) that the tokenizer's post-processor adds. Half a surrogate pair is
   * U+FFFD, and a special token's own text is that token, as in Hugging Face's tokenizers.
   * @param options.addSpecialTokens false for a text that has them already, as a chat template's
   * @throws Error where a token of the text is not in the vocabulary
   */
  encode(text: string, {addSpecialTokens = true} = {}): number[] {
    const {ids} = this.tokenizer.encode(text, {add_special_tokens: addSpecialTokens});
    if (ids.includes(undefined as never))
      throw new Error(
        `${this.file}: model.vocab must hold every token that texts may have, unk_token among them, but lacks one`,
      );
    return ids;
  }

  /**
   * Whether a text has far more tokens than `most`, told from its beginning: to encode a megabyte takes seconds. The pieces that it is
   * counted in are cut anywhere, which adds a few tokens to each; twice `most` is far more.
   */
  isFarLongerThan(text: string, most: number): boolean {
    let count = 0;
    for (let at = 0; at < text.length && count <= 2 * most; at += COUNTED)
      count += this.tokenizer.encode(text.slice(at, at + COUNTED), {add_special_tokens: false}).ids.length;
    return count > 2 * most;
  }

  /** The text of `ids`; special tokens have none. Bytes that are no UTF-8 give U+FFFD. */
  decode(ids: readonly number[]): string {
    const visible = ids.filter((id) => this.isVisible(id));
    return visible.length === 0 ? '' : this.tokenizer.decode(visible, {clean_up_tokenization_spaces: false});
  }

  /** Whether a token is text: neither special nor outside the vocabulary (whose size models round up). */
  isVisible(id: number): boolean {
    return !this.special.has(id) && this.tokenizer.id_to_token(id) !== undefined;
  }

  /** A decoder for ids that come a few at a time, and whose text goes on after that of `before`. */
  stream(before: readonly number[] = []): StreamDecoder {
    return new StreamDecoder(this, before);
  }

  /** Every token by its id. */
  vocabulary(): Map<number, string> {
    return new Map([...this.tokenizer.get_vocab()].map(([token, id]) => [id, token]));
  }

  sameVocabulary(other: LlamaTokenizer): boolean {
    return firstDifference(this, other) === undefined;
  }
}

function firstDifference(
  a: LlamaTokenizer,
  b: LlamaTokenizer,
): {id: number; tokens: (string | undefined)[]} | undefined {
  const vocabularies = [a.vocabulary(), b.vocabulary()];
  const ids = new Set(vocabularies.flatMap((vocabulary) => [...vocabulary.keys()]));
  for (const id of [...ids].sort((x, y) => x - y)) {
    const tokens = vocabularies.map((vocabulary) => vocabulary.get(id));
    if (tokens[0] !== tokens[1]) return {id, tokens};
  }
  return undefined;
}

/**
 * A draft can only propose tokens that mean the same to its verifier.
 * @throws Error naming the first token id whose text differs
 */
export function assertSameVocabulary(draft: LlamaTokenizer, verifier: LlamaTokenizer): void {
  const difference = firstDifference(draft, verifier);
  if (!difference) return;
  const [inDraft, inVerifier] = difference.tokens.map((token) =>
    token === undefined ? 'missing' : JSON.stringify(token),
  );
  throw new Error(
    `draft and verifier must share a vocabulary, but token ${difference.id} is ${inDraft} in ${draft.dir} and ${inVerifier} in ${verifier.dir}`,
  );
}

const REPLACEMENT = '\ufffd';
/** Tokens that are decoded again and again before the older ones are let go of. */
const WINDOW = 32;
/** Tokens that stay: more than the 4 bytes of a UTF-8 character, so that where a window is cut does not matter to its end. */
const OVERLAP = 8;

/**
 * Decodes ids as they come; the pieces joined are the text of all ids. A character whose bytes have not all come is held back.
 * Linear in the number of ids: only the last few are decoded again.
 *
 * A text's first token is not decoded as one further on: SentencePiece's decoders take a space away there. So the window begins with the
 * end of what stands `before`.
 */
export class StreamDecoder {
  private window: number[] = [];
  /** Characters of the window's text that have been given out. */
  private given: number;

  constructor(
    private readonly tokenizer: LlamaTokenizer,
    before: readonly number[],
  ) {
    // From the end: a prompt may be long.
    for (let i = before.length; i-- > 0 && this.window.length < OVERLAP;)
      if (tokenizer.isVisible(before[i])) this.window.unshift(before[i]);
    this.given = tokenizer.decode(this.window).length;
  }

  /** The text that `ids` complete; may be empty. */
  push(ids: readonly number[]): string {
    let piece = '';
    for (const id of ids) if (this.tokenizer.isVisible(id)) piece += this.pushOne(id);
    return piece;
  }

  private pushOne(id: number): string {
    this.window.push(id);
    const text = this.tokenizer.decode(this.window);
    // An incomplete character decodes to one U+FFFD at the end, which the next token may change.
    const end = text.endsWith(REPLACEMENT) ? text.length - 1 : text.length;
    const piece = text.slice(this.given, end);
    this.given = Math.max(this.given, end);
    if (this.window.length >= WINDOW) {
      const held = text.length - this.given;
      this.window = this.window.slice(-OVERLAP);
      this.given = this.tokenizer.decode(this.window).length - held;
    }
    return piece;
  }

  /** What was held back, at the end of the ids. The decoder begins a text of its own after it. */
  flush(): string {
    const rest = this.window.length > 0 ? this.tokenizer.decode(this.window).slice(this.given) : '';
    this.window = [];
    this.given = 0;
    return rest;
  }
}

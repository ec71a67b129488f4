/** A Hugging Face tokenizer: text to token ids, and ids back to text, either all ids at once or a few at a time. */
import type {Tokenizer} from '@huggingface/tokenizers';

import {ChatTemplate} from './chat_template.js';
import {contentOf, readTokenizer, type TokenizerFiles} from './tokenizer_file.js';

/** Characters per piece in which a long text's tokens are counted. */
const COUNTED = 4096;

export class LlamaTokenizer {
  readonly bosId?: number;
  /** The id of `eos_token` in tokenizer_config.json. The model's config may name more end tokens. */
  readonly eosIds: ReadonlySet<number>;
  /** Undefined if the model is no chat model. */
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
   * Reads `dir/tokenizer.json`, and `dir/tokenizer_config.json` and the chat template if they are there.
   * @throws Error naming the file, the field and what is wrong with it
   */
  static load(dir: string): LlamaTokenizer {
    return new LlamaTokenizer(dir, readTokenizer(dir));
  }

  /**
   * The text's ids, with the special tokens that the tokenizer's post-processor adds (usually BOS at the beginning).
   * As in Hugging Face's tokenizers, half of a surrogate pair counts as U+FFFD, and the text of a special token gives
   * that token.
   * @param text any text
   * @param options
   * @param options.addSpecialTokens default true; false for a text that has its special tokens already, like a
   *     rendered chat template
   * @throws Error if a token of the text is not in the vocabulary
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
   * Whether a text has more than about twice `most` tokens. It encodes only as much of the text as the answer needs,
   * because encoding a megabyte takes seconds. The text is cut into pieces at any place, which may add a few tokens
   * to each, so the count is not exact.
   */
  isFarLongerThan(text: string, most: number): boolean {
    let count = 0;
    for (let at = 0; at < text.length && count <= 2 * most; at += COUNTED)
      count += this.tokenizer.encode(text.slice(at, at + COUNTED), {add_special_tokens: false}).ids.length;
    return count > 2 * most;
  }

  /** The text of `ids`. Special tokens give no text, and bytes that are no UTF-8 give U+FFFD. */
  decode(ids: readonly number[]): string {
    const visible = ids.filter((id) => this.isVisible(id));
    return visible.length === 0 ? '' : this.tokenizer.decode(visible, {clean_up_tokenization_spaces: false});
  }

  /** Whether a token has text. Special tokens have none, nor do ids by which a model rounds its vocabulary up. */
  isVisible(id: number): boolean {
    return !this.special.has(id) && this.tokenizer.id_to_token(id) !== undefined;
  }

  /** A decoder for ids that come a few at a time and continue the text of the ids `before`. */
  stream(before: readonly number[] = []): StreamDecoder {
    return new StreamDecoder(this, before);
  }

  /** All tokens by id. */
  vocabulary(): Map<number, string> {
    return new Map([...this.tokenizer.get_vocab()].map(([token, id]) => [id, token]));
  }

  /** The tokens by id that stand beside the model's vocabulary, special or not. */
  addedTokens(): Map<number, string> {
    return new Map([...this.tokenizer.get_added_tokens_decoder()].map(([id, {content}]) => [id, content]));
  }

  /** Whether ids mean the same tokens in both, all of them. */
  sameVocabulary(other: LlamaTokenizer): boolean {
    const [own, others] = [this.vocabulary(), other.vocabulary()];
    return own.size === others.size && [...own].every(([id, token]) => others.get(id) === token);
  }
}

/**
 * How many of the first token ids a draft may propose to a verifier; Infinity where both have the same tokens.
 *
 * Either may lack the last tokens of the other, as where tokens were added for chats. An added token may have another
 * name in each, as where a reserved token was renamed: it stands for another text at worst, and then the verifier
 * rejects it.
 * @throws Error naming the first id whose token differs, if neither tokenizer has it as an added token: then a draft's
 *     proposals would be meaningless
 */
export function sharedVocabulary(draft: LlamaTokenizer, verifier: LlamaTokenizer): number {
  const [inDraft, inVerifier] = [draft.vocabulary(), verifier.vocabulary()];
  const added = new Set([draft, verifier].flatMap((tokenizer) => [...tokenizer.addedTokens().keys()]));
  const shared = [...inDraft.keys()].filter((id) => inVerifier.has(id)).sort((a, b) => a - b);
  const differs = shared.find((id) => inDraft.get(id) !== inVerifier.get(id) && !added.has(id));
  if (differs !== undefined || shared.length === 0) {
    const id = differs ?? 0;
    const [one, other] = [inDraft, inVerifier].map((tokens) => JSON.stringify(tokens.get(id)) ?? 'missing');
    throw new Error(
      `draft and verifier must share a vocabulary, but token ${id} is ${one} in ${draft.dir} and ${other} in ${verifier.dir}`,
    );
  }
  return draft.sameVocabulary(verifier) ? Infinity : shared[shared.length - 1] + 1;
}

const REPLACEMENT = '\ufffd';
/** When the decoder's window has this many tokens, it drops all but the last OVERLAP ones. */
const WINDOW = 32;
/**
 * More than the 4 bytes of a UTF-8 character, each of which may be a token: a cut never reaches an incomplete
 * character at the end.
 */
const OVERLAP = 8;

/**
 * Decodes ids that come a few at a time. The pieces of text, joined, are the text of all ids. A character is held
 * back until all its bytes have come. The time is linear in the number of ids, because only a window of the last few
 * ids is decoded again.
 *
 * The window starts with the last ids of `before`, because SentencePiece's decoders drop a space before the first
 * token of a text.
 */
export class StreamDecoder {
  private window: number[] = [];
  /** Number of characters of the window's text that were returned already. */
  private given: number;

  constructor(
    private readonly tokenizer: LlamaTokenizer,
    before: readonly number[],
  ) {
    // The loop runs from the end because a prompt may be long.
    for (let i = before.length; i-- > 0 && this.window.length < OVERLAP;)
      if (tokenizer.isVisible(before[i])) this.window.unshift(before[i]);
    this.given = tokenizer.decode(this.window).length;
  }

  /** The text that `ids` complete. It may be empty. */
  push(ids: readonly number[]): string {
    let piece = '';
    for (const id of ids) if (this.tokenizer.isVisible(id)) piece += this.pushOne(id);
    return piece;
  }

  private pushOne(id: number): string {
    this.window.push(id);
    const text = this.tokenizer.decode(this.window);
    // An incomplete character decodes to U+FFFD at the end. The next token may complete it.
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

  /** Returns the text that was held back, at the end of the ids. Ids that come later begin a new text. */
  flush(): string {
    const rest = this.window.length > 0 ? this.tokenizer.decode(this.window).slice(this.given) : '';
    this.window = [];
    this.given = 0;
    return rest;
  }
}

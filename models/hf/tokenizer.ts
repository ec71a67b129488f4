/** A Hugging Face tokenizer: text to token ids, and ids back to text, either all ids at once or a few at a time. */
import {ChatTemplate} from './chat_template.js';
import type {Pipeline} from './tokenizer/pipeline.js';
import {StreamDecoder} from './stream_decoder.js';
import {readTokenizer, type TokenizerFiles} from './tokenizer_file.js';
import {contentOf} from './tokenizer/special_tokens.js';

/** Characters per piece in which a long text's tokens are counted. */
const COUNTED = 4096;

export class LlamaTokenizer {
  readonly bosId?: number;
  /** The id of `eos_token` in tokenizer_config.json. The model's config may name more end tokens. */
  readonly eosIds: ReadonlySet<number>;
  /** Undefined if the model is no chat model. */
  readonly chatTemplate?: ChatTemplate;
  private readonly pipeline: Pipeline;

  private constructor(
    readonly dir: string,
    {pipeline, config}: TokenizerFiles,
  ) {
    this.pipeline = pipeline;
    const idOf = (field: string): number | undefined => {
      const content = contentOf(config.values[field]);
      return content === undefined ? undefined : pipeline.idOf(content);
    };
    this.chatTemplate = ChatTemplate.read(dir, config);
    this.bosId = idOf('bos_token');
    const eosId = idOf('eos_token');
    this.eosIds = new Set(eosId === undefined ? [] : [eosId]);
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
    return this.pipeline.encode(text, addSpecialTokens);
  }

  /**
   * Whether a text has more than about twice `most` tokens. It encodes only as much of the text as the answer needs,
   * because encoding a megabyte takes seconds. The text is cut into pieces at any place, which may add a few tokens
   * to each, so the count is not exact.
   */
  isFarLongerThan(text: string, most: number): boolean {
    let count = 0;
    for (let at = 0; at < text.length && count <= 2 * most; at += COUNTED)
      count += this.pipeline.encode(text.slice(at, at + COUNTED), false).length;
    return count > 2 * most;
  }

  /**
   * The text of `ids`, as Hugging Face's tokenizers give it: special tokens give no text; of bytes that are no UTF-8
   * each longest part of a character gives U+FFFD, or each byte of a run of tokens like `<0x0A>`.
   */
  decode(ids: readonly number[]): string {
    return this.pipeline.decode(ids.filter((id) => this.isVisible(id)));
  }

  /** Whether a token has text. Special tokens have none, nor do ids by which a model rounds its vocabulary up. */
  isVisible(id: number): boolean {
    return !this.pipeline.isSpecial(id) && this.pipeline.tokenOf(id) !== undefined;
  }

  /** The byte that a token like `<0x0A>` stands for; undefined for other tokens. */
  byteOf(id: number): number | undefined {
    return this.pipeline.byteOf(id);
  }

  /** How a token is called in the vocabulary; undefined if there is no such id. */
  tokenOf(id: number): string | undefined {
    return this.pipeline.tokenOf(id);
  }

  /** The tokens by id that have no text of their own in an answer, like `<|eot_id|>`. */
  specialTokens(): Map<number, string> {
    return new Map([...this.addedTokens()].filter(([id]) => this.pipeline.isSpecial(id)));
  }

  /** A decoder for ids that come a few at a time and continue the text of the ids `before`. */
  stream(before: readonly number[] = []): StreamDecoder {
    return new StreamDecoder(this, before);
  }

  /** All tokens by id. */
  vocabulary(): Map<number, string> {
    return this.pipeline.vocabulary();
  }

  /** The tokens by id that stand beside the model's vocabulary, special or not. */
  addedTokens(): Map<number, string> {
    return this.pipeline.addedTokens();
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

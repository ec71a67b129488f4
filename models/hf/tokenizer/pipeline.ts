/**
 * What tokenizer.json describes: added tokens, normalizer, pre-tokenizer, model, post-processor and decoder, in the
 * order in which a text passes through them. It gives the ids and texts of Hugging Face's tokenizers (the library in
 * Rust, from which Python's and transformers' values come).
 *
 * `@huggingface/tokenizers` 0.2.0 is a port of that library whose ids and texts differ in every one of these parts, so
 * this folder stands in its place and takes from it only the translation of regular expressions (pattern.ts).
 */
import type {Fields} from '../json_file.js';
import {AddedTokens, type AddedToken} from './added_tokens.js';
import {byteOfToken} from './bytes.js';
import {hasByteFallback, readDecoder, type Decoder} from './decoders.js';
import {readModel} from './models.js';
import {readNormalizer} from './normalizers.js';
import {readPostProcessor, type PostProcessor} from './post_processors.js';
import {readPreTokenizer, type PreTokenizer} from './pre_tokenizers.js';
import {Vocabulary, type Model} from './vocabulary.js';

export class Pipeline {
  private readonly vocabularyOfModel: Vocabulary;
  private readonly added: AddedTokens;
  private readonly preTokenizer: PreTokenizer | undefined;
  private readonly model: Model;
  private readonly postProcessor: PostProcessor | undefined;
  private readonly decoder: Decoder | undefined;
  private readonly fallsBackToBytes: boolean;

  /**
   * @param fields tokenizer.json; its model's vocabulary has been checked
   * @param tokens added tokens of tokenizer.json and then those of other files
   * @throws Error naming the file, the part and what is wrong with it
   */
  constructor(fields: Fields, tokens: readonly (readonly AddedToken[])[]) {
    const read = <T>(name: string, reader: (part: Fields) => T): T | undefined => {
      const part = fields.object(name);
      try {
        return part && reader(part);
      } catch (error) {
        const {message} = error as Error;
        if (message.startsWith(`${fields.file}: `)) throw error;
        throw new Error(`${fields.file}: ${name} must be a Hugging Face tokenizer's: ${message}`, {
          cause: error,
        });
      }
    };
    const normalizer = read('normalizer', readNormalizer);
    this.vocabularyOfModel = read('model', (part) => new Vocabulary(part))!;
    this.model = read('model', (part) => readModel(part, this.vocabularyOfModel))!;
    this.preTokenizer = read('pre_tokenizer', readPreTokenizer);
    this.postProcessor = read('post_processor', readPostProcessor);
    this.decoder = read('decoder', readDecoder);
    this.fallsBackToBytes = hasByteFallback(fields.object('decoder'));
    this.added = new AddedTokens(this.vocabularyOfModel, normalizer);
    for (const list of tokens) this.added.add(list);
  }

  /** @throws Error if a token of the text is not in the vocabulary */
  encode(text: string, addSpecialTokens: boolean): number[] {
    const ids: number[] = [];
    // Half of a surrogate pair has no UTF-8.
    for (const section of this.added.extract(text.replace(/\p{Surrogate}/gu, '\ufffd'))) {
      if (section.id !== undefined) {
        ids.push(section.id);
        continue;
      }
      const pieces = [section];
      for (const piece of this.preTokenizer?.(pieces) ?? pieces)
        for (const id of this.model(piece.text)) ids.push(id);
    }
    return this.postProcessor?.(ids, addSpecialTokens) ?? ids;
  }

  /** The text of ids; those that have no token give none, special tokens give theirs. */
  decode(ids: readonly number[]): string {
    const tokens = ids.map((id) => this.added.formOf(id)).filter((token) => token !== undefined);
    return this.decoder ? this.decoder(tokens).join('') : tokens.join(' ');
  }

  idOf(token: string): number | undefined {
    return this.added.idOf(token);
  }

  tokenOf(id: number): string | undefined {
    return this.added.contentOf(id);
  }

  isSpecial(id: number): boolean {
    return this.added.isSpecial(id);
  }

  /** The byte that a token stands for, if the decoder takes it for one byte of a character. */
  byteOf(id: number): number | undefined {
    const token = this.fallsBackToBytes ? this.added.formOf(id) : undefined;
    return token === undefined ? undefined : byteOfToken(token);
  }

  /** All tokens by id, added ones included. */
  vocabulary(): Map<number, string> {
    return new Map([...this.vocabularyOfModel.tokens, ...this.addedTokens()]);
  }

  addedTokens(): Map<number, string> {
    return new Map([...this.added.all()].map((id) => [id, this.added.contentOf(id)!]));
  }
}

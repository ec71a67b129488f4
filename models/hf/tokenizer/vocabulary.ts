/** What every model of tokenizer.json has: a vocabulary, and a way from text to token ids. */
import type {Fields} from '../json_file.js';

/** The token ids of a piece of text, which is not empty. */
export type Model = (piece: string) => readonly number[];

/** The tokens of a model, apart from added tokens. */
export class Vocabulary {
  readonly ids: ReadonlyMap<string, number>;
  readonly tokens: ReadonlyMap<number, string>;

  constructor(private readonly part: Fields) {
    const {vocab} = part.values;
    const entries = Array.isArray(vocab)
      ? (vocab as [string, number][]).map(([token], id): [string, number] => [token, id])
      : Object.entries(vocab as Record<string, number>);
    this.ids = new Map(entries);
    this.tokens = new Map(entries.map(([token, id]) => [id, token]));
  }

  /**
   * The id of the token that stands for what is unknown.
   * @throws Error if there is none
   */
  idOf(unknown: string | undefined): number {
    const id = unknown === undefined ? undefined : this.ids.get(unknown);
    if (id === undefined)
      throw new Error(
        `${this.part.file}: model.vocab must hold every token that texts may have, unk_token among them, but lacks one`,
      );
    return id;
  }
}

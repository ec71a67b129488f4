/** Models of tokenizer.json: from a piece of text to token ids. */
import type {Fields} from '../json_file.js';
import {readBpe} from './bpe.js';
import {readUnigram} from './unigram.js';
import type {Model, Vocabulary} from './vocabulary.js';

/** @throws Error if the part is of a kind that does not exist, or has a field that is not as it should be */
export function readModel(part: Fields, vocabulary: Vocabulary): Model {
  const type = part.text('type', typeOf(part));
  switch (type) {
    case 'BPE':
      return readBpe(part, vocabulary);
    case 'Unigram':
      return readUnigram(part, vocabulary);
    case 'WordPiece':
      return readWordPiece(part, vocabulary);
    case 'WordLevel': {
      const unknown = part.text('unk_token');
      return (word) => [vocabulary.ids.get(word) ?? vocabulary.idOf(unknown)];
    }
    default:
      throw new Error(`there is no model of type ${type}`);
  }
}

/** The type of a model that does not tell it, as old files do not. */
function typeOf(part: Fields): string {
  if (part.has('merges')) return 'BPE';
  if (Array.isArray(part.values.vocab)) return 'Unigram';
  return part.has('continuing_subword_prefix') ? 'WordPiece' : 'WordLevel';
}

/** WordPiece: each token is the longest one that the rest of the word begins with. */
function readWordPiece(part: Fields, vocabulary: Vocabulary): Model {
  const unknown = part.text('unk_token', '[UNK]');
  const prefix = part.text('continuing_subword_prefix', '##');
  const mostCharacters = part.whole('max_input_chars_per_word', 0, 100);
  return (word) => {
    const characters = [...word];
    if (characters.length > mostCharacters) return [vocabulary.idOf(unknown)];
    const tokens: number[] = [];
    for (let start = 0; start < characters.length;) {
      let end = characters.length;
      let id: number | undefined;
      for (; end > start && id === undefined; end--)
        id = vocabulary.ids.get((start > 0 ? prefix : '') + characters.slice(start, end).join(''));
      if (id === undefined) return [vocabulary.idOf(unknown)];
      tokens.push(id);
      start = end + 1;
    }
    return tokens;
  };
}

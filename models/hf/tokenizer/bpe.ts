/**
 * Byte pair encoding (Sennrich et al., 2016): a word's characters are merged pair by pair, the pair of the lowest rank
 * first. The time is n log n in the word's length, because tokenizers without a pre-tokenizer take a whole text for a
 * word.
 */
import type {Fields} from '../json_file.js';
import {BYTE_TOKENS} from './bytes.js';
import {NumberHeap} from './heap.js';
import type {Model, Vocabulary} from './vocabulary.js';

/** Token ids are below this (tokenizer_file.ts), so two of them fit into one number. */
const PAIR = 2 ** 24;
/** Positions in a word are below this, so a rank and a position fit into one number. */
const POSITIONS = 2 ** 29;
/** Words whose tokens are remembered: at most this many, each shorter than LONG. */
const REMEMBERED = 10_000;
const LONG = 256;

/** @throws Error if a merge is of tokens that the vocabulary lacks */
export function readBpe(part: Fields, vocabulary: Vocabulary): Model {
  const {ids} = vocabulary;
  const prefix = part.text('continuing_subword_prefix', '');
  const suffix = part.text('end_of_word_suffix', '');
  const unknown = part.has('unk_token') ? part.text('unk_token') : undefined;
  const fusesUnknown = part.flag('fuse_unk', false);
  const bytes = part.flag('byte_fallback', false) ? BYTE_TOKENS.map((token) => ids.get(token)) : undefined;
  const ignoresMerges = part.flag('ignore_merges', false);
  const merges = new Merges(part, ids, prefix.length);
  const remembered = new Map<string, readonly number[]>();

  /** The tokens of a word's characters, before any merge. */
  const charactersOf = (word: string): number[] => {
    const tokens: number[] = [];
    let waiting: number | undefined; // an unknown token, which may be fused with the next one
    let at = 0;
    for (const character of word) {
      const isFirst = at === 0;
      at += character.length;
      const token = (isFirst ? '' : prefix) + character + (at === word.length ? suffix : '');
      const id = ids.get(token);
      if (id !== undefined) {
        if (waiting !== undefined) tokens.push(waiting);
        waiting = undefined;
        tokens.push(id);
        continue;
      }
      const fallback = bytes && [...Buffer.from(token, 'utf8')].map((byte) => bytes[byte]);
      if (fallback?.every((byte) => byte !== undefined)) {
        tokens.push(...fallback);
      } else if (unknown !== undefined) {
        if (waiting !== undefined && !fusesUnknown) tokens.push(waiting);
        waiting = vocabulary.idOf(unknown);
      }
    }
    if (waiting !== undefined) tokens.push(waiting);
    return tokens;
  };

  return (word) => {
    const whole = ignoresMerges ? ids.get(word) : undefined;
    if (whole !== undefined) return [whole];
    const known = remembered.get(word);
    if (known) return known;
    const tokens = merges.apply(charactersOf(word));
    if (word.length < LONG && remembered.size < REMEMBERED) remembered.set(word, tokens);
    return tokens;
  };
}

class Merges {
  /** The rank of each merge, by the pair of tokens that it joins. */
  private readonly ranks = new Map<number, number>();
  /** The token that each merge makes, by the merge's rank. */
  private readonly results: number[] = [];

  constructor(part: Fields, ids: ReadonlyMap<string, number>, prefixLength: number) {
    const isText = (value: unknown) => typeof value === 'string';
    const isMerge = (value: unknown) =>
      isText(value) || (Array.isArray(value) && value.length === 2 && value.every(isText));
    const merges = part.list<string | [string, string]>('merges', 'a list of pairs of tokens', isMerge);
    for (const merge of merges) {
      if (typeof merge === 'string' && merge.startsWith('#version')) continue;
      const pair = typeof merge === 'string' ? merge.split(' ') : merge;
      const result = pair[0] + (pair[1] ?? '').slice(prefixLength);
      const [left, right, made] = [ids.get(pair[0]), ids.get(pair[1]), ids.get(result)];
      if (pair.length !== 2 || left === undefined || right === undefined || made === undefined)
        throw new Error(
          `${part.file}: model.merges must be of tokens of model.vocab, but ${JSON.stringify(merge)} is not`,
        );
      this.ranks.set(left * PAIR + right, this.results.length);
      this.results.push(made);
    }
  }

  /** Merges as much as can be merged. It changes `tokens`. */
  apply(tokens: number[]): number[] {
    const {length} = tokens;
    if (length < 2) return tokens;
    const {ranks, results} = this;
    const previous = Int32Array.from({length}, (_, i) => i - 1);
    const next = Int32Array.from({length}, (_, i) => i + 1);
    const queue = new NumberHeap(length);
    const enqueue = (left: number, right: number) => {
      const rank = ranks.get(tokens[left] * PAIR + tokens[right]);
      if (rank !== undefined) queue.push(rank * POSITIONS + left);
    };
    for (let i = 1; i < length; i++) enqueue(i - 1, i);
    for (let top = queue.pop(); top !== undefined; top = queue.pop()) {
      const left = top % POSITIONS;
      const made = results[(top - left) / POSITIONS];
      const right = next[left];
      if (tokens[left] < 0 || right >= length) continue;
      // The pair may have changed since it was queued.
      const rank = ranks.get(tokens[left] * PAIR + tokens[right]);
      if (rank === undefined || results[rank] !== made) continue;
      tokens[left] = made;
      tokens[right] = -1;
      next[left] = next[right];
      if (next[left] < length) {
        previous[next[left]] = left;
        enqueue(left, next[left]);
      }
      if (previous[left] >= 0) enqueue(previous[left], left);
    }
    return tokens.filter((token) => token >= 0);
  }
}

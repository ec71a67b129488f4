/** Unigram (Kudo, 2018): of all ways to cut a text into tokens, the one whose scores add up to the most. */
import type {Fields} from '../json_file.js';
import {BYTE_TOKENS} from './bytes.js';
import type {Model, Vocabulary} from './vocabulary.js';

/** How much worse than the worst token an unknown character is. */
const PENALTY = 10;

/** A node of the trie of all tokens, by UTF-16 code unit. */
interface Node {
  next: Map<number, Node>;
  id?: number;
}

export function readUnigram(part: Fields, vocabulary: Vocabulary): Model {
  const pieces = part.list<[token: string, score: number]>('vocab', 'a list of [token, score]', () => true);
  const scores = pieces.map(([, score]) => score);
  const unknownScore = scores.reduce((least, score) => Math.min(least, score), Infinity) - PENALTY;
  const unknown = part.has('unk_id') ? part.whole('unk_id', 0) : undefined;
  if (unknown !== undefined && unknown >= pieces.length) throw part.error('unk_id', 'the id of a token');
  const {ids} = vocabulary;
  const bytes = part.flag('byte_fallback', false) ? BYTE_TOKENS.map((token) => ids.get(token)) : undefined;
  const root = trieOf(ids);

  /** Appends the tokens of a text that no token covers. */
  const pushUnknown = (tokens: number[], text: string) => {
    const known = ids.get(text);
    const fallback = bytes && [...Buffer.from(text, 'utf8')].map((byte) => bytes[byte]);
    if (known !== undefined) tokens.push(known);
    else if (fallback?.every((byte) => byte !== undefined)) for (const byte of fallback) tokens.push(byte);
    else tokens.push(unknown!);
  };

  return (text) => {
    const {starts, tokens: last} = bestPath(text);
    const cuts: number[] = [];
    for (let end = text.length; end > 0; end = starts[end]) cuts.push(end);
    const tokens: number[] = [];
    let unknownFrom = -1; // where a run of unknown characters began, which is one token
    let start = 0;
    for (const end of cuts.reverse()) {
      if (last[end] === unknown) {
        if (unknownFrom < 0) unknownFrom = start;
      } else {
        if (unknownFrom >= 0) pushUnknown(tokens, text.slice(unknownFrom, start));
        unknownFrom = -1;
        tokens.push(last[end]);
      }
      start = end;
    }
    if (unknownFrom >= 0) pushUnknown(tokens, text.slice(unknownFrom));
    return tokens;
  };

  /** For each end of a token on a best path, where that token starts, and its id. */
  function bestPath(text: string): {starts: Int32Array; tokens: Int32Array} {
    const starts = new Int32Array(text.length + 1).fill(-1);
    const tokens = new Int32Array(text.length + 1);
    const totals = new Float64Array(text.length + 1);
    const offer = (start: number, end: number, id: number, score: number) => {
      const total = totals[start] + score;
      if (starts[end] >= 0 && total <= totals[end]) return;
      totals[end] = total;
      starts[end] = start;
      tokens[end] = id;
    };
    for (let start = 0; start < text.length;) {
      const width = text.codePointAt(start)! > 0xffff ? 2 : 1;
      let covered = false;
      let node = root.next.get(text.charCodeAt(start));
      for (
        let end = start + 1;
        node;
        node = root === node ? undefined : node.next.get(text.charCodeAt(end++))
      ) {
        if (node.id !== undefined) {
          offer(start, end, node.id, scores[node.id]);
          covered ||= end - start === width;
        }
      }
      if (!covered) offer(start, start + width, unknown ?? vocabulary.idOf(undefined), unknownScore);
      start += width;
    }
    return {starts, tokens};
  }
}

function trieOf(ids: ReadonlyMap<string, number>): Node {
  const root: Node = {next: new Map()};
  for (const [token, id] of ids) {
    let node = root;
    for (let i = 0; i < token.length; i++) {
      const unit = token.charCodeAt(i);
      let child = node.next.get(unit);
      if (!child) node.next.set(unit, (child = {next: new Map()}));
      node = child;
    }
    if (node !== root) node.id = id;
  }
  return root;
}

/** Small tokenizers of the kinds that models have, made-up texts, and what Python's tokenizers make of them: tools/golden. */
import {readFileSync, readdirSync} from 'node:fs';
import * as path from 'node:path';
import {crc32} from 'node:zlib';

import {packageRoot} from '../../backend/addon.js';
import {LlamaTokenizer} from '../../models/hf/tokenizer.js';

export const TOKENIZERS = path.join(packageRoot, 'test', 'data', 'tokenizers');

/** A text, its ids, their text, other ids and their text. */
export type Case = [text: string, ids: number[], back: string, others: number[], decoded: string];

/** Texts that one checksum covers. */
const BLOCK = 8;
const TEXTS = 20_000;
export const BLOCKS = TEXTS / BLOCK;

const read = (name: string): unknown => JSON.parse(readFileSync(path.join(TOKENIZERS, name), 'utf8'));

/** A folder with files beside a kind's tokenizer.json, and what transformers makes of texts with it. */
export interface Folder {
  kind: string;
  files: Record<string, object>;
  eos: number | null;
  bos: number | null;
  answers: [text: string, ids: number[], decoded: string][];
}
export const folders = read('folders.json') as Folder[];

/** The cases of each kind of tokenizer. The order of the kinds is that of the checksums. */
export const cases = read('cases.json') as Record<string, Case[]>;
export const KINDS = Object.keys(cases);
/** The kinds that have a folder: the same as those with cases. */
export const FOLDERS = readdirSync(TOKENIZERS, {withFileTypes: true})
  .filter((entry) => entry.isDirectory())
  .map(({name}) => name);

const digests = readFileSync(path.join(TOKENIZERS, 'digests.bin'));
const {pieces, ranges} = read('alphabet.json') as {pieces: string[]; ranges: [low: number, high: number][]};

export function load(kind: string): LlamaTokenizer {
  return LlamaTokenizer.load(path.join(TOKENIZERS, kind));
}

/** Marsaglia's xorshift32, as tools/golden/make_tokenizers.py has it. */
class Random {
  private state: number;

  constructor(seed: number) {
    this.state = (Math.imul(seed, 2654435761) + 1) >>> 0;
  }

  below(most: number): number {
    let x = this.state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.state = x >>> 0;
    return this.state % most;
  }
}

/** Text and ids number `index`. The ids are for decoding. */
export function madeUp(index: number, size: number): {text: string; ids: number[]} {
  const draw = new Random(index);
  for (let i = 0; i < 4; i++) draw.below(2);
  let text = '';
  for (let left = draw.below(14); left > 0; left--) {
    if (draw.below(5) === 0) {
      const [low, high] = ranges[draw.below(ranges.length)];
      text += String.fromCodePoint(low + draw.below(high - low + 1));
    } else {
      text += pieces[draw.below(pieces.length)];
    }
  }
  const most = [size + 2, 259, 40][draw.below(3)];
  return {text, ids: Array.from({length: 1 + draw.below(12)}, () => draw.below(most))};
}

/** The texts of a block with what the tokenizer makes of them, if Python's tokenizers make something else. */
export function differingBlock(kind: string, tokenizer: LlamaTokenizer, block: number): Case[] | undefined {
  const size = tokenizer.vocabulary().size;
  const made = Array.from({length: BLOCK}, (_, i): Case => {
    const {text, ids: others} = madeUp(block * BLOCK + i, size);
    const ids = tokenizer.encode(text);
    return [text, ids, tokenizer.decode(ids), others, tokenizer.decode(others)];
  });
  const lines = made.map(([, ids, back, , decoded]) => `${ids.join(',')}\x1f${back}\x1f${decoded}`);
  const expected = digests.readUInt32LE(4 * (KINDS.indexOf(kind) * BLOCKS + block));
  return crc32(lines.join('\x1e')) === expected ? undefined : made;
}

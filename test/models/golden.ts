/** Reads the golden files: results of Hugging Face transformers, which tools/golden wrote. */
import {readFileSync, readdirSync} from 'node:fs';
import * as path from 'node:path';

import {packageRoot} from '../../backend/addon.js';

export const GOLDEN = path.join(packageRoot, 'test', 'golden');
export const PRETRAINED = path.join(packageRoot, 'models', 'pretrained');

export interface Golden {
  name: string;
  /** folder of the model */
  model: string;
  tokens: number[];
  /** the rows whose logits are known */
  rows: number[];
  /** [rows, vocabulary] */
  logits: Float32Array;
  frequencies: number[];
  scale: number;
}

export function readGolden(name: string): Golden {
  const folder = path.join(GOLDEN, name);
  const [pretrained, role] = name.split('_');
  const bytes = readFileSync(path.join(folder, 'logits.bin'));
  return {
    name,
    model: pretrained === 'pretrained' ? path.join(PRETRAINED, role) : folder,
    logits: new Float32Array(new Uint8Array(bytes).buffer),
    ...(JSON.parse(readFileSync(path.join(folder, 'expected.json'), 'utf8')) as Omit<
      Golden,
      'name' | 'model' | 'logits'
    >),
  };
}

export const goldens = readdirSync(GOLDEN).map(readGolden);
/** The tiny models, whose folders tests may copy and spoil. */
export const tiny = goldens.filter(({name}) => !name.startsWith('pretrained'));

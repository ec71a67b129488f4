/**
 * Computes the embedded models' logits of 2,000 tokens of text, which logits.test.ts compares between devices.
 *
 *     node dist/test/gpu/logits.js FILE    writes the logits on the device SPECATTN_DEVICE as float32, draft first, then verifier
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import * as tf from '@tensorflow/tfjs-core';

import {Llama} from '../../models/llama/llama.js';
import {LlamaTokenizer} from '../../models/hf/tokenizer.js';
import {packageRoot} from '../../backend/addon.js';
import {BACKEND} from '../../backend/index.js';

export const POSITIONS = 2000;
export const ROLES = ['draft', 'verifier'] as const;

/** The three passages of test/data, one after the other. */
function text(): string {
  const read = (i: number) =>
    fs.readFileSync(path.join(packageRoot, 'test', 'data', `passage_${i}.txt`), 'utf8');
  return [1, 2, 3].map(read).join('\n');
}

/** Logits [POSITIONS, V], computed in blocks of `rows`. */
export async function logitsOf(role: (typeof ROLES)[number], rows: number): Promise<Float32Array> {
  const dir = path.join(packageRoot, 'models', 'pretrained', role);
  const tokens = LlamaTokenizer.load(dir).encode(text()).slice(0, POSITIONS);
  if (tokens.length < POSITIONS) throw new Error(`the passages have ${tokens.length} tokens`);
  const llama = await Llama.load(dir);
  const cache = llama.newCache(POSITIONS);
  const all = new Float32Array(POSITIONS * llama.config.vocabSize);
  try {
    for (let from = 0; from < POSITIONS; from += rows) {
      const values = tf.tidy(() =>
        llama
          .forward({
            tokens: tf.tensor1d(tokens.slice(from, from + rows), 'int32'),
            position: tf.tensor1d([from], 'int32'),
            cache,
            outputs: ['logits'],
          })
          .logits!.dataSync(),
      );
      all.set(values, from * llama.config.vocabSize);
    }
  } finally {
    tf.dispose(cache);
    llama.dispose();
  }
  return all;
}

async function main(file: string): Promise<void> {
  await tf.setBackend(BACKEND);
  fs.rmSync(file, {force: true});
  for (const role of ROLES) {
    const {buffer, byteOffset, byteLength} = await logitsOf(role, 250);
    fs.appendFileSync(file, new Uint8Array(buffer, byteOffset, byteLength));
  }
}

if (require.main === module)
  main(process.argv[2]).catch((error: Error) => {
    console.error(error.message);
    process.exitCode = 1;
  });

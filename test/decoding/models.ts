/** Pairs of models for the loop's tests, and what every one of them checks: nothing stays allocated. */
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';

import {packageRoot} from '../../backend/addon.js';
import type {SpecAttnMemoryInfo} from '../../backend/index.js';
import type {LanguageModel} from '../../src/language_model.js';
import {load, type LoadOptions} from '../../src/load.js';
import {PRETRAINED, namedNormals, safetensors, tinyLayerMap, writeTinyPair} from './tiny_pair.js';

export {PRETRAINED, namedNormals, safetensors, tinyLayerMap};

/** A text that the embedded verifier wrote: 1, 2 or 3. */
export function passage(number: number): string {
  return fs.readFileSync(path.join(packageRoot, 'test', 'data', `passage_${number}.txt`), 'utf8');
}

export function memory() {
  const {numTensors, numDataBuffers, numBytesInDevice} = tf.memory() as SpecAttnMemoryInfo;
  const {binding} = tf.backend() as {binding?: {getNumOfTensors(): number}}; // tfjs-node's
  return {numTensors, numDataBuffers, numBytesInDevice, tensorsInTensorFlow: binding?.getNumOfTensors()};
}

/** Runs `body` with a pair loaded on the current backend; nothing is left of it afterwards. */
export async function withModel(
  options: LoadOptions,
  body: (lm: LanguageModel) => Promise<void>,
): Promise<void> {
  const before = memory();
  const lm = await load({backend: tf.getBackend(), ...options});
  try {
    await body(lm);
  } finally {
    lm.dispose();
  }
  expect(memory(), 'memory after dispose').to.deep.equal(before);
}

/** The error's message, or `accepted`; either way nothing more is allocated than before. */
export async function refusal(work: () => Promise<unknown>): Promise<string> {
  const before = memory();
  const message = await work().then(
    () => 'accepted',
    (error: Error) => error.message,
  );
  expect(memory(), 'memory after the refusal').to.deep.equal(before);
  return message;
}

let folder: string | undefined;
after(() => {
  if (folder) fs.rmSync(folder, {recursive: true});
  folder = undefined;
});

/** A new folder, gone when all tests are done. */
export function newFolder(): string {
  folder ??= fs.mkdtempSync(path.join(os.tmpdir(), 'specattn-generate-'));
  return fs.mkdtempSync(path.join(folder, 'model-'));
}

/** A folder with links to another's files, to be changed by writing files over them. */
export function linkModel(from: string): string {
  const to = newFolder();
  for (const name of fs.readdirSync(from)) fs.symlinkSync(path.join(from, name), path.join(to, name));
  return to;
}

/** Replaces a file of {@link linkModel}'s folder, not the one it links to. */
export function replaceFile(dir: string, name: string, content: string | Uint8Array): void {
  fs.rmSync(path.join(dir, name), {force: true});
  fs.writeFileSync(path.join(dir, name), content);
}

let pair: {draft: string; verifier: string} | undefined;

/**
 * A random pair with the embedded tokenizer, small enough for the composed ops. The draft is the verifier without its last layer, so that
 * some of its tokens are accepted and some are not. The verifier has 4 query heads on 2 key/value heads.
 */
export function tinyPair(): {draft: string; verifier: string} {
  pair ??= writeTinyPair(newFolder);
  return pair;
}

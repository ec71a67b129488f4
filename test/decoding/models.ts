/** Pairs of models for tests of the decoding loop, and helpers which check that no memory stays allocated. */
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
  const {binding} = tf.backend() as {binding?: {getNumOfTensors(): number}}; // only tfjs-node's backend has it
  return {numTensors, numDataBuffers, numBytesInDevice, tensorsInTensorFlow: binding?.getNumOfTensors()};
}

/** Runs `body` with a pair loaded on the current backend, and expects that no memory of the pair is left afterwards. */
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

/** The message of the error that `work` throws, or `accepted`. Expects as much memory in use afterwards as before. */
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

/** A new folder, which is removed after all tests. */
export function newFolder(): string {
  folder ??= fs.mkdtempSync(path.join(os.tmpdir(), 'specattn-generate-'));
  return fs.mkdtempSync(path.join(folder, 'model-'));
}

/** A new folder with links to the files of `from`; {@link replaceFile} changes it. */
export function linkModel(from: string): string {
  const to = newFolder();
  for (const name of fs.readdirSync(from)) fs.symlinkSync(path.join(from, name), path.join(to, name));
  return to;
}

/** Replaces a link in a folder of {@link linkModel} by a file; the file that it linked to stays as it is. */
export function replaceFile(dir: string, name: string, content: string | Uint8Array): void {
  fs.rmSync(path.join(dir, name), {force: true});
  fs.writeFileSync(path.join(dir, name), content);
}

let pair: {draft: string; verifier: string} | undefined;

/**
 * A random pair with the embedded tokenizer, small enough for the composed fallbacks. The draft is the verifier without its last layer, so
 * that some of its tokens are accepted and some are not. The verifier has 4 query heads and 2 KV heads.
 */
export function tinyPair(): {draft: string; verifier: string} {
  pair ??= writeTinyPair(newFolder);
  return pair;
}

/** Loads and saves TensorFlow.js models in folders in plain Node. TF.js itself does that only with tfjs-node, as `file://`. */
import {mkdir, readFile, writeFile} from 'node:fs/promises';
import * as path from 'node:path';
import * as tf from '@tensorflow/tfjs-core';

import {readJsonObject} from './hf/json_file.js';

/**
 * An IOHandler for a `model.json` and the weight files beside it.
 *
 * ```ts
 * const graph = await tf.loadGraphModel(fileSystem('exported/model.json'));
 * await layers.save(fileSystem('trained'));
 * const again = await tf.loadLayersModel(fileSystem('trained'));
 * ```
 *
 * `save` writes model.json and weights.bin, or x.json and x.weights.bin, makes the folder if it is missing, and replaces
 * files of these names.
 * @param file the JSON file, or the folder that holds model.json
 * @returns a handler whose methods throw an Error naming the file and what is wrong with it
 */
export function fileSystem(file: string): tf.io.IOHandler {
  const modelFile = file.endsWith('.json') ? file : path.join(file, 'model.json');
  return {load: () => load(modelFile), save: (artifacts) => save(modelFile, artifacts)};
}

async function load(modelFile: string): Promise<tf.io.ModelArtifacts> {
  const json = readJsonObject(modelFile) as unknown as tf.io.ModelJSON;
  if (!json.modelTopology || !Array.isArray(json.weightsManifest))
    throw new Error(`${modelFile}: must have modelTopology and weightsManifest`);
  return tf.io.getModelArtifactsForJSON(json, async (manifest) => {
    const specs = manifest.flatMap(({weights}) => weights);
    const files = manifest.flatMap(({paths}) => paths.map((name) => weightFile(modelFile, name)));
    const buffers = await Promise.all(files.map((name) => readFile(name)));
    // A small Buffer shares its ArrayBuffer with others, so its own bytes are copied.
    return [specs, buffers.map((b) => b.buffer.slice(b.byteOffset, b.byteOffset + b.length) as ArrayBuffer)];
  });
}

async function save(modelFile: string, artifacts: tf.io.ModelArtifacts): Promise<tf.io.SaveResult> {
  const {weightSpecs = [], weightData = [], getWeightStream: _, ...rest} = artifacts;
  const {modelTopology} = rest;
  if (!modelTopology || modelTopology instanceof ArrayBuffer)
    throw new Error(
      `${modelFile}: modelTopology must be an object but is ${modelTopology ? 'binary' : 'missing'}`,
    );
  const folder = path.dirname(modelFile);
  const model = path.basename(modelFile, '.json');
  const weights = model === 'model' ? 'weights.bin' : `${model}.weights.bin`;
  const json = {...rest, weightsManifest: [{paths: [weights], weights: weightSpecs}]};
  await mkdir(folder, {recursive: true});
  const parts = Array.isArray(weightData) ? weightData : [weightData];
  await writeFile(
    path.join(folder, weights),
    parts.map((part) => new Uint8Array(part)),
  );
  await writeFile(modelFile, JSON.stringify(json));
  return {modelArtifactsInfo: tf.io.getModelArtifactsInfoForJSON(artifacts)};
}

/** The path of a weight file. It must be in model.json's own folder: a model.json may be hostile. */
function weightFile(modelFile: string, name: unknown): string {
  if (typeof name !== 'string' || name !== path.basename(name) || /[\\/]|^\.{0,2}$/.test(name))
    throw new Error(
      `${modelFile}: weightsManifest paths must be names of files in its folder but one is ${JSON.stringify(name)}`,
    );
  return path.join(path.dirname(modelFile), name);
}

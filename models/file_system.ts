/** Loads GraphModels from folders in plain Node. TF.js itself does that only with tfjs-node, as `file://`. */
import {readFile} from 'node:fs/promises';
import * as path from 'node:path';
import * as tf from '@tensorflow/tfjs-core';

import {readJsonObject} from './hf/json_file.js';

/**
 * An IOHandler that loads a `model.json` and its weight files.
 *
 * ```ts
 * const model = await tf.loadGraphModel(fileSystem('exported/model.json'));
 * ```
 * @param file model.json, or the folder that holds it
 * @returns a handler whose `load` throws an Error naming the file and what is wrong with it
 */
export function fileSystem(file: string): tf.io.IOHandler {
  const modelFile = file.endsWith('.json') ? file : path.join(file, 'model.json');
  return {
    async load() {
      const json = readJsonObject(modelFile) as unknown as tf.io.ModelJSON;
      if (!json.modelTopology || !Array.isArray(json.weightsManifest))
        throw new Error(`${modelFile}: must have modelTopology and weightsManifest`);
      return tf.io.getModelArtifactsForJSON(json, async (manifest) => {
        const specs = manifest.flatMap(({weights}) => weights);
        const files = manifest.flatMap(({paths}) => paths.map((name) => weightFile(modelFile, name)));
        const buffers = await Promise.all(files.map((name) => readFile(name)));
        // A small Buffer shares its ArrayBuffer with others, so its own bytes are copied.
        return [
          specs,
          buffers.map((b) => b.buffer.slice(b.byteOffset, b.byteOffset + b.length) as ArrayBuffer),
        ];
      });
    },
  };
}

/** The path of a weight file. It must be in model.json's own folder: a model.json may be hostile. */
function weightFile(modelFile: string, name: unknown): string {
  if (typeof name !== 'string' || name !== path.basename(name) || /[\\/]|^\.{0,2}$/.test(name))
    throw new Error(
      `${modelFile}: weightsManifest paths must be names of files in its folder but one is ${JSON.stringify(name)}`,
    );
  return path.join(path.dirname(modelFile), name);
}

/** Writes a Hugging Face Llama as a TF.js GraphModel: a folder with model.json and float32 weight files. */
import {mkdir, open, writeFile, type FileHandle} from 'node:fs/promises';
import * as path from 'node:path';
import type {io} from '@tensorflow/tfjs-core';

import {readConfig, type LlamaConfig} from '../hf/config.js';
import {buildLlamaGraph, cacheNames} from './graph.js';
import {readParameters, settleHead} from './parameters.js';
import {hasLongContext} from './rope.js';
import {Safetensors} from '../hf/safetensors.js';
import {concatenate} from './weights.js';

/** The shard size that tfjs-converter writes, so that browsers can cache a file. */
const SHARD_BYTES = 4 * 2 ** 20;

/**
 * Writes the model of the folder `dir` to the folder `out`. `tf.loadGraphModel` loads the result after `specattn` was
 * imported, which registers the ops. `models/llama/graph.ts` lists the graph's inputs and outputs. Only one tensor is
 * in memory at a time. A model with LongRoPE is exported for caches of its whole context.
 * @throws Error naming the file, the field or tensor, what was expected and what came
 */
export async function exportModel(dir: string, out: string): Promise<void> {
  const claimed = readConfig(dir);
  const file = await Safetensors.open(dir);
  try {
    const config = settleHead(file, claimed);
    const longContext = hasLongContext(config, config.maxPositionEmbeddings);
    const {topology, constants} = buildLlamaGraph(config, {longContext});
    await mkdir(out, {recursive: true});
    const shards = new ShardWriter(out);
    const weights: io.WeightsManifestEntry[] = [];
    try {
      for (const [name, {dtype, shape, values}] of constants) {
        weights.push({name, dtype, shape});
        await shards.write(values);
      }
      for (const {name, shape, parts} of readParameters(file, dir, config)) {
        weights.push({name, dtype: 'float32', shape});
        await shards.write(concatenate(parts));
      }
    } finally {
      await shards.close();
    }
    const model: io.ModelJSON = {
      format: 'graph-model',
      generatedBy: 'specattn',
      convertedBy: null as unknown as string,
      modelTopology: topology,
      signature: signature(config),
      weightsManifest: [{paths: shards.paths, weights}],
    };
    await writeFile(path.join(out, 'model.json'), JSON.stringify(model));
  } finally {
    await file.close();
  }
}

/** The inputs and default outputs in a model.json's form. Only tools that display a model read it. */
function signature(config: LlamaConfig): object {
  const entry = (name: string, dtype: string, shape: number[]): [string, object] => [
    name,
    {name: `${name}:0`, dtype, tensorShape: {dim: shape.map((size) => ({size: String(size)}))}},
  ];
  const {inputs, outputs} = cacheNames(config);
  const cache = (name: string) => entry(name, 'DT_FLOAT', [config.numKeyValueHeads, -1, config.headDim]);
  return {
    inputs: Object.fromEntries([
      entry('tokens', 'DT_INT32', [-1]),
      entry('position', 'DT_INT32', [1]),
      ...inputs.map(cache),
    ]),
    outputs: Object.fromEntries([entry('logits', 'DT_FLOAT', [-1, config.vocabSize]), ...outputs.map(cache)]),
  };
}

/** Writes arrays one after the other into files of SHARD_BYTES; an array may span files. */
class ShardWriter {
  readonly paths: string[] = [];
  private handle?: FileHandle;
  private room = 0;

  constructor(private readonly dir: string) {}

  async write(values: ArrayBufferView): Promise<void> {
    let bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    while (bytes.length > 0) {
      if (this.room === 0) await this.next();
      const part = bytes.subarray(0, this.room);
      await this.handle!.writeFile(part);
      this.room -= part.length;
      bytes = bytes.subarray(part.length);
    }
  }

  private async next(): Promise<void> {
    await this.close();
    // The usual suffix -of-N is missing because the number of shards is not known yet.
    const name = `weights-${String(this.paths.length + 1).padStart(5, '0')}.bin`;
    this.handle = await open(path.join(this.dir, name), 'w');
    this.paths.push(name);
    this.room = SHARD_BYTES;
  }

  async close(): Promise<void> {
    await this.handle?.close();
    this.handle = undefined;
  }
}

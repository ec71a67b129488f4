/** Writes the folders of a random pair with the embedded tokenizer, small enough for the composed fallbacks. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import * as tf from '@tensorflow/tfjs-core';

import {readConfig, type LlamaConfig} from '../../models/hf/config.js';
import {writeLayerMap, type KlMap} from '../../models/layer_map.js';
import {parameters} from '../../models/llama/parameters.js';
import {packageRoot} from '../../backend/addon.js';

export const PRETRAINED = path.join(packageRoot, 'models', 'pretrained');

const TINY = {
  ...{architectures: ['LlamaForCausalLM'], model_type: 'llama', vocab_size: 4096, hidden_act: 'silu'},
  ...{hidden_size: 32, intermediate_size: 48, num_attention_heads: 4, num_key_value_heads: 2, head_dim: 8},
  ...{max_position_embeddings: 96, bos_token_id: 0, eos_token_id: 1},
};
const VERIFIER_LAYERS = 3;
const DRAFT_LAYERS = 2;
/** Special tokens of the embedded tokenizer. Their output weights are 0, so that a random model does not end its text by chance. */
const SPECIAL_TOKENS = 8;

/** Writes the pair into two folders that `newFolder` makes. */
export function writeTinyPair(newFolder: () => string): {draft: string; verifier: string} {
  const made = {draft: newFolder(), verifier: newFolder()};
  for (const [role, layers] of [
    ['draft', DRAFT_LAYERS],
    ['verifier', VERIFIER_LAYERS],
  ] as const) {
    const dir = made[role];
    fs.writeFileSync(path.join(dir, 'config.json'), JSON.stringify({...TINY, num_hidden_layers: layers}));
    for (const name of ['tokenizer.json', 'tokenizer_config.json'])
      fs.copyFileSync(path.join(PRETRAINED, 'verifier', name), path.join(dir, name));
    fs.writeFileSync(path.join(dir, 'model.safetensors'), safetensors(readConfig(dir), randomTensor));
  }
  writeLayerMap(path.join(made.verifier, 'layer_map.json'), tinyLayerMap(made));
  return made;
}

/** A layer map of the tiny pair. */
export function tinyLayerMap({draft, verifier}: {draft: string; verifier: string}): KlMap {
  return layerMapOf(readConfig(draft).sha256, readConfig(verifier).sha256);
}

/** A layer map of the tiny pair for models with these hashes of their configurations. */
export function layerMapOf(draft: string, verifier: string): KlMap {
  return {
    version: 1,
    kind: 'kl',
    draft: {config: draft},
    verifier: {config: verifier},
    layers: [0, 0, 1],
    heads: [
      [0, 1, 2, 3],
      [3, 1, 1, 0],
      [2, 2, 0, 1],
    ],
    kl: [
      [0.1, 0.2],
      [0.2, 0.3],
      [0.3, 0.2],
    ],
    text: {rows: 10, window: 10},
  };
}

/** A safetensors file that holds every parameter of a model in float32. */
export function safetensors(
  config: LlamaConfig,
  valuesOf: (name: string, shape: number[]) => Float32Array,
): Uint8Array {
  const tensors = parameters(config).flatMap(({sources}) => sources);
  const header: Record<string, unknown> = {};
  const data: Uint8Array[] = [];
  let at = 0;
  for (const {name, shape} of tensors) {
    const values = valuesOf(name, shape);
    header[name] = {dtype: 'F32', shape, data_offsets: [at, at + values.byteLength]};
    data.push(new Uint8Array(values.buffer));
    at += values.byteLength;
  }
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([length, json, ...data]);
}

/** Random weights that depend only on name and shape, so that two models share the weights of tensors that both have. */
function randomTensor(name: string, shape: number[]): Float32Array {
  if (shape.length === 1) return new Float32Array(tf.util.sizeFromShape(shape)).fill(1);
  const values = namedNormals(name, shape, name.includes('layers') ? 1.4 / Math.sqrt(shape[1]) : 1);
  if (name === 'lm_head.weight') values.fill(0, 0, SPECIAL_TOKENS * shape[1]);
  return values;
}

/** Normally distributed numbers of standard deviation `scale` that depend only on name and shape. */
export function namedNormals(name: string, shape: number[], scale: number): Float32Array {
  let seed = 1;
  for (const letter of name) seed = (Math.imul(seed, 31) + letter.charCodeAt(0)) >>> 0;
  return tf.tidy(() => tf.randomNormal(shape, 0, scale, 'float32', seed).dataSync() as Float32Array).slice();
}

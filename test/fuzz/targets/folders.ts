/** Fuzz target: model folders with one changed file. `load` must refuse them, or give a pair that can write. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import * as fc from 'fast-check';

import {BACKEND} from '../../../backend/index.js';
import {load} from '../../../src/load.js';
import {hostileJson, namesField, type HostileFile} from '../hostile.js';
import type {Target} from '../target.js';
import {CaseFolder, pairFolders} from './folder.js';

const folder = new CaseFolder();
let pair: {draft: string; verifier: string};
let good: Record<'config.json' | 'model.safetensors' | 'layer_map.json', Buffer>;

interface Input {
  config?: HostileFile;
  map?: HostileFile;
  /** two tensors whose entries in the header are swapped, and the number of bytes cut off the end of the file */
  weights?: {swap: [number, number]; cut: number};
}

/** The verifier's config.json as {@link pairFolders} writes it. */
const CONFIG = {
  ...{architectures: ['LlamaForCausalLM'], model_type: 'llama', vocab_size: 4096, hidden_act: 'silu'},
  ...{hidden_size: 32, intermediate_size: 48, num_attention_heads: 4, num_key_value_heads: 2, head_dim: 8},
  ...{max_position_embeddings: 96, bos_token_id: 0, eos_token_id: 1, num_hidden_layers: 3},
};

const input: fc.Arbitrary<Input> = fc.oneof(
  {weight: 3, arbitrary: hostileJson(CONFIG).map((config) => ({config}))},
  {weight: 1, arbitrary: hostileJson({version: 1, kind: 'kl', layers: [0, 0, 1]}).map((map) => ({map}))},
  {
    weight: 2,
    arbitrary: fc
      .record({swap: fc.tuple(fc.nat(30), fc.nat(30)), cut: fc.oneof(fc.constant(0), fc.nat(5000))})
      .map((weights) => ({weights})),
  },
);

function spoilWeights({swap: [from, to], cut}: NonNullable<Input['weights']>): Uint8Array {
  const bytes = good['model.safetensors'];
  const length = Number(bytes.readBigUInt64LE());
  const header = JSON.parse(bytes.toString('utf8', 8, 8 + length)) as Record<string, unknown>;
  const names = Object.keys(header);
  const [a, b] = [names[from % names.length], names[to % names.length]];
  [header[a], header[b]] = [header[b], header[a]];
  const json = Buffer.from(JSON.stringify(header));
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([prefix, json, bytes.subarray(8 + length, bytes.length - cut)]);
}

export const folders: Target<Input> = {
  name: 'model folders',
  share: 0.4,
  input,
  setUp: async () => {
    await tf.setBackend(BACKEND);
    const {draft, verifier} = pairFolders();
    fs.cpSync(verifier, folder.path, {recursive: true});
    pair = {draft, verifier: folder.path};
    const read = (name: string) => fs.readFileSync(path.join(pair.verifier, name));
    good = {
      'config.json': read('config.json'),
      'model.safetensors': read('model.safetensors'),
      'layer_map.json': read('layer_map.json'),
    };
  },
  run: async ({config, map, weights}) => {
    const files = {
      'config.json': config?.bytes ?? good['config.json'],
      'layer_map.json': map?.bytes ?? good['layer_map.json'],
      'model.safetensors': weights ? spoilWeights(weights) : good['model.safetensors'],
    };
    for (const [name, bytes] of Object.entries(files))
      fs.writeFileSync(path.join(pair.verifier, name), bytes);
    const lm = await load({...pair, backend: BACKEND});
    try {
      await lm.generate('The', {maxNewTokens: 2, verification: 'dense', gamma: 2});
      await lm.generate('The', {maxNewTokens: 2, gamma: 2});
    } finally {
      lm.dispose();
    }
  },
  names: (message, {config}) =>
    (config !== undefined && namesField(message, path.join(pair.verifier, 'config.json'), config, RELATED)) ||
    // A refusal may also name weights that the changed config needs, or a layer map of another model.
    new RegExp(`^${pair.verifier}(/model\\.safetensors)?: (the weights must hold )?'[^']+'[ :]`).test(
      message,
    ) ||
    /^\[load\] draft and verifier must have the same vocab_size /.test(message) ||
    message.includes('layer_map.json: ') ||
    message.startsWith(`${pair.verifier}/model.safetensors: must have `),
  tearDown: () => folder.remove(),
};

const RELATED = {
  num_key_value_heads: ['num_attention_heads'],
  hidden_size: ['num_attention_heads', 'head_dim'],
  head_dim: ['hidden_size', 'num_attention_heads'],
  model_type: ['architectures'],
};

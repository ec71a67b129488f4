/** Reads config.json of a Hugging Face Llama, checks it and fills in defaults. */
import {createHash} from 'node:crypto';
import {existsSync} from 'node:fs';
import * as path from 'node:path';

import {MOST_COUNT, whole} from '../../backend/check.js';
import {Fields} from './json_file.js';

/** How `models/llama/rope.ts` scales rotary frequencies for a longer context than the model was first trained on. */
export type RopeScaling =
  | {type: 'default'}
  | {type: 'linear'; factor: number}
  | {
      type: 'llama3';
      factor: number;
      lowFreqFactor: number;
      highFreqFactor: number;
      originalMaxPositionEmbeddings: number;
    }
  | {
      type: 'yarn';
      factor: number;
      attentionFactor?: number;
      betaFast: number;
      betaSlow: number;
      mscale?: number;
      mscaleAllDim?: number;
      truncate: boolean;
      originalMaxPositionEmbeddings: number;
    };

export interface LlamaConfig {
  vocabSize: number;
  hiddenSize: number;
  intermediateSize: number;
  numHiddenLayers: number;
  numAttentionHeads: number;
  numKeyValueHeads: number;
  headDim: number;
  maxPositionEmbeddings: number;
  rmsNormEps: number;
  ropeTheta: number;
  ropeScaling: RopeScaling;
  /** Whether the head's weight is the embedding matrix. */
  tieWordEmbeddings: boolean;
  attentionBias: boolean;
  mlpBias: boolean;
  bosTokenId?: number;
  /** Token ids of which each ends a text, from config.json and generation_config.json. */
  eosTokenIds: number[];
  /** SHA-256 of config.json's content, whatever the order of its fields. Layer maps identify models by it. */
  sha256: string;
}

/**
 * Reads the configuration of a Llama. If the folder has a generation_config.json, its end tokens are added.
 * @param source a folder with config.json, or a file of that form whose name ends in .json
 * @throws Error naming the file, the field, what was expected and what came
 */
export function readConfig(source: string): LlamaConfig {
  const file = path.extname(source) === '.json' ? source : path.join(source, 'config.json');
  const dir = path.dirname(file);
  const fields = Fields.read(file);
  if (fields.has('architectures')) {
    const holds = (value: unknown) => Array.isArray(value) && value.includes('LlamaForCausalLM');
    fields.get('architectures', '["LlamaForCausalLM"]', holds);
  } else {
    fields.get('model_type', '"llama"', (value) => value === 'llama');
  }
  fields.get('hidden_act', '"silu"', (value) => value === 'silu', 'silu');
  if (fields.has('quantization_config'))
    throw fields.error('quantization_config', 'left out (float weights only)');

  const hiddenSize = fields.whole('hidden_size', 1);
  const numAttentionHeads = fields.whole('num_attention_heads', 1);
  const numKeyValueHeads = fields.whole('num_key_value_heads', 1, numAttentionHeads);
  if (numAttentionHeads % numKeyValueHeads !== 0)
    throw fields.error('num_key_value_heads', `a divisor of num_attention_heads (${numAttentionHeads})`);
  if (!fields.has('head_dim') && hiddenSize % numAttentionHeads !== 0)
    throw fields.error('hidden_size', `a multiple of num_attention_heads (${numAttentionHeads})`);
  const headDim = fields.whole('head_dim', 2, hiddenSize / numAttentionHeads);
  if (headDim % 2 !== 0) throw new Error(`${file}: head_dim must be even but is ${headDim}`);
  const maxPositionEmbeddings = fields.whole('max_position_embeddings', 1, 2048);

  return {
    vocabSize: fields.whole('vocab_size', 1),
    hiddenSize,
    intermediateSize: fields.whole('intermediate_size', 1),
    numHiddenLayers: fields.whole('num_hidden_layers', 1),
    numAttentionHeads,
    numKeyValueHeads,
    headDim,
    maxPositionEmbeddings,
    rmsNormEps: fields.positive('rms_norm_eps', 1e-6),
    ...readRope(fields, maxPositionEmbeddings),
    tieWordEmbeddings: fields.flag('tie_word_embeddings', false),
    attentionBias: fields.flag('attention_bias', false),
    mlpBias: fields.flag('mlp_bias', false),
    bosTokenId: fields.has('bos_token_id') ? fields.whole('bos_token_id', 0) : undefined,
    eosTokenIds: readEos(dir, fields),
    sha256: createHash('sha256').update(canonicalJson(fields.values)).digest('hex'),
  };
}

/** Reads the older layout (`rope_theta` and `rope_scaling`) and that of transformers 5 (`rope_parameters`). */
function readRope(
  config: Fields,
  maxPositionEmbeddings: number,
): Pick<LlamaConfig, 'ropeTheta' | 'ropeScaling'> {
  const rope = config.object('rope_scaling') ?? config.object('rope_parameters');
  const theta = rope?.has('rope_theta') ? rope : config;
  const ropeTheta = theta.positive('rope_theta', 10000);
  if (!rope) return {ropeTheta, ropeScaling: {type: 'default'}};

  rope.get('partial_rotary_factor', '1', (value) => value === 1, 1);
  const original = config.has('original_max_position_embeddings') ? config : rope;
  const originalMaxPositionEmbeddings = original.whole(
    'original_max_position_embeddings',
    1,
    maxPositionEmbeddings,
  );
  const field = rope.has('rope_type') ? 'rope_type' : 'type';
  const type = rope.text(field, 'default');
  const optional = (name: string) => (rope.has(name) ? rope.positive(name) : undefined);
  switch (type) {
    case 'default':
      return {ropeTheta, ropeScaling: {type}};
    case 'linear':
      return {ropeTheta, ropeScaling: {type, factor: rope.positive('factor')}};
    case 'llama3': {
      const lowFreqFactor = rope.positive('low_freq_factor');
      const highFreqFactor = rope.positive('high_freq_factor');
      if (highFreqFactor <= lowFreqFactor)
        throw rope.error('high_freq_factor', `more than low_freq_factor (${lowFreqFactor})`);
      const factor = rope.positive('factor');
      return {
        ropeTheta,
        ropeScaling: {type, factor, lowFreqFactor, highFreqFactor, originalMaxPositionEmbeddings},
      };
    }
    case 'yarn':
      return {
        ropeTheta,
        ropeScaling: {
          type,
          factor: rope.positive('factor', maxPositionEmbeddings / originalMaxPositionEmbeddings),
          attentionFactor: optional('attention_factor'),
          betaFast: rope.positive('beta_fast', 32),
          betaSlow: rope.positive('beta_slow', 1),
          mscale: optional('mscale'),
          mscaleAllDim: optional('mscale_all_dim'),
          truncate: rope.flag('truncate', true),
          originalMaxPositionEmbeddings,
        },
      };
    default:
      throw rope.error(field, '"default", "linear", "llama3" or "yarn"');
  }
}

function readEos(dir: string, config: Fields): number[] {
  const ids = new Set<number>();
  const generation = path.join(dir, 'generation_config.json');
  for (const fields of [config, ...(existsSync(generation) ? [Fields.read(generation)] : [])]) {
    if (!fields.has('eos_token_id')) continue;
    const [isId] = whole(0, MOST_COUNT);
    const value = fields.get<number | number[]>(
      'eos_token_id',
      'a token id or a list of them',
      (value) => isId(value) || (Array.isArray(value) && value.every(isId)),
    );
    for (const id of [value].flat()) ids.add(id);
  }
  return [...ids];
}

/** JSON with sorted keys, so that equal content gives equal text. */
function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}

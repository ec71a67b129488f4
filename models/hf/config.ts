/** Reads config.json of a Hugging Face model, checks it and fills in its architecture's defaults. */
import {createHash} from 'node:crypto';
import {existsSync} from 'node:fs';
import * as path from 'node:path';

import {MOST_COUNT, whole} from '../../backend/check.js';
import {ARCHITECTURES, type Architecture, type FlagSource, type LayerRule} from '../architectures.js';
import {Fields} from './json_file.js';
import {readRope, type RopeScaling} from './rope_config.js';

export type {RopeScaling};

/** A model of one of the `ARCHITECTURES`, which have one graph. */
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
  /** Biases of the projections to queries, keys and values, of the attention's output, and of the MLP. */
  qkvBias: boolean;
  outBias: boolean;
  mlpBias: boolean;
  /** Whether each query and key head has an RMSNorm before its rotation. */
  qkNorm: boolean;
  /** Layers whose rows see the last `size` keys up to their own alone; left out where every row sees all keys before it. */
  slidingWindow?: {size: number; layers: LayerRule};
  /** Layers without rotary embedding. */
  noRotary: LayerRule;
  /** Factor of the scores q · k; 0 stands for 1/√headDim. */
  attentionScale: number;
  /** Factors of the embeddings and of what each attention and MLP adds to them; divisor of the logits. */
  embeddingMultiplier: number;
  residualMultiplier: number;
  logitsScaling: number;
  bosTokenId?: number;
  /** Token ids of which each ends a text, from config.json and generation_config.json. */
  eosTokenIds: number[];
  /** SHA-256 of config.json's content, whatever the order of its fields. Layer maps identify models by it. */
  sha256: string;
}

/**
 * Reads the configuration of a model. If the folder has a generation_config.json, its end tokens are added.
 * @param source a folder with config.json, or a file of that form whose name ends in .json
 * @throws Error naming the file, the field, what was expected and what came
 */
export function readConfig(source: string): LlamaConfig {
  const file = path.extname(source) === '.json' ? source : path.join(source, 'config.json');
  const dir = path.dirname(file);
  const fields = Fields.read(file);
  const architecture = readArchitecture(fields);
  const {defaults} = architecture;
  fields.get('hidden_act', '"silu"', (value) => value === 'silu' || value === 'swish', 'silu');
  if (fields.has('quantization_config'))
    throw fields.error('quantization_config', 'left out (float weights only)');

  const hiddenSize = fields.whole('hidden_size', 1);
  const numAttentionHeads = fields.whole('num_attention_heads', 1);
  const numKeyValueHeads = fields.whole(
    'num_key_value_heads',
    1,
    ('num_key_value_heads' in fields.values ? undefined : defaults.numKeyValueHeads) ?? numAttentionHeads,
  );
  if (numAttentionHeads % numKeyValueHeads !== 0)
    throw fields.error('num_key_value_heads', `a divisor of num_attention_heads (${numAttentionHeads})`);
  if (!fields.has('head_dim') && !defaults.headDim && hiddenSize % numAttentionHeads !== 0)
    throw fields.error('hidden_size', `a multiple of num_attention_heads (${numAttentionHeads})`);
  const headDim = fields.whole('head_dim', 2, defaults.headDim ?? hiddenSize / numAttentionHeads);
  if (headDim % 2 !== 0) throw new Error(`${file}: head_dim must be even but is ${headDim}`);
  const maxPositionEmbeddings = fields.whole('max_position_embeddings', 1, defaults.maxPositionEmbeddings);
  const numHiddenLayers = fields.whole('num_hidden_layers', 1);
  const noRotary = readNoRotary(fields, architecture, numHiddenLayers);
  const flag = (source: FlagSource) => (typeof source === 'boolean' ? source : fields.flag(source, false));
  const multiplier = (name: string, missing = 1) =>
    architecture.multipliers ? fields.positive(name, missing) : missing;

  return {
    vocabSize: fields.whole('vocab_size', 1),
    hiddenSize,
    intermediateSize: fields.whole('intermediate_size', 1),
    numHiddenLayers,
    numAttentionHeads,
    numKeyValueHeads,
    headDim,
    maxPositionEmbeddings,
    rmsNormEps: fields.positive('rms_norm_eps', 1e-6),
    ...readRope(fields, headDim / 2, maxPositionEmbeddings, defaults.ropeTheta),
    tieWordEmbeddings: fields.flag('tie_word_embeddings', defaults.tieWordEmbeddings),
    qkvBias: flag(architecture.qkvBias),
    outBias: flag(architecture.outBias),
    mlpBias: flag(architecture.mlpBias),
    qkNorm: architecture.qkNorm,
    slidingWindow: readWindow(fields, architecture, numHiddenLayers, noRotary),
    noRotary,
    attentionScale: architecture.multipliers ? multiplier('attention_multiplier') : 0,
    embeddingMultiplier: multiplier('embedding_multiplier'),
    residualMultiplier: multiplier('residual_multiplier'),
    logitsScaling: multiplier('logits_scaling'),
    bosTokenId: isNoToken(fields.values.bos_token_id) ? undefined : fields.whole('bos_token_id', 0),
    eosTokenIds: readEos(dir, fields),
    sha256: createHash('sha256').update(canonicalJson(fields.values)).digest('hex'),
  };
}

/** The architecture that `architectures` names, or else `model_type`. */
function readArchitecture(fields: Fields): Architecture {
  const names = Object.keys(ARCHITECTURES);
  if (fields.has('architectures')) {
    const isKnown = (value: unknown) => names.includes(value as string);
    const list = fields.get<unknown[]>(
      'architectures',
      `a list with one of ${names.join(', ')}`,
      (value) => Array.isArray(value) && value.some(isKnown),
    );
    return ARCHITECTURES[list.find(isKnown) as string];
  }
  const all = Object.values(ARCHITECTURES);
  const type = fields.get<string>(
    'model_type',
    `one of ${all.map(({modelType}) => modelType).join(', ')}`,
    (value) => all.some(({modelType}) => modelType === value),
  );
  return all.find(({modelType}) => modelType === type)!;
}

/** Which layers have a sliding window. */
function readWindow(
  config: Fields,
  {window, defaults}: Architecture,
  numHiddenLayers: number,
  noRotary: LayerRule,
): LlamaConfig['slidingWindow'] {
  if (window === 'none') return undefined;
  // null switches the window off; a missing field means the architecture's default.
  const given = config.has('sliding_window') || !('sliding_window' in config.values);
  const size = given ? config.whole('sliding_window', 1, defaults.slidingWindow ?? 0) : 0;
  if (window === 'all') return size > 0 ? {size, layers: {from: 0}} : undefined;

  const used = config.flag('use_sliding_window', false);
  const isListed = config.has('layer_types');
  const layers = isListed
    ? readLayers(config, 'layer_types', numHiddenLayers, ['full_attention', 'sliding_attention'])
    : window === 'from_layer'
      ? {from: config.whole('max_window_layers', 0, 28)}
      : noRotary;
  if (window === 'from_layer' ? used && size > 0 : size > 0 && (used || isListed)) return {size, layers};
  if (isListed && (layers as boolean[]).includes(true))
    throw config.error('layer_types', `"full_attention" for each layer where there is no sliding window`);
  return undefined;
}

/** Which layers have no rotary embedding. */
function readNoRotary(config: Fields, {noRotary}: Architecture, numHiddenLayers: number): LayerRule {
  if (!noRotary) return [];
  if (!config.has('no_rope_layers')) return {every: config.whole('no_rope_layer_interval', 1, 4)};
  return readLayers(config, 'no_rope_layers', numHiddenLayers, [1, 0]);
}

/** A list with one of two values for each layer: false for the first value, true for the second. */
function readLayers(
  config: Fields,
  name: string,
  numHiddenLayers: number,
  values: readonly [unknown, unknown],
): boolean[] {
  const [no, yes] = values.map((value) => JSON.stringify(value));
  const list = config.list<unknown>(name, `a list of ${no} and ${yes}`, (value) => values.includes(value));
  if (list.length < numHiddenLayers)
    throw config.error(name, `a list for each of the num_hidden_layers (${numHiddenLayers})`);
  return list.map((value) => value === values[1]);
}

/** Whether a token id is missing or null, or negative, which no token has: some folders say -1 where there is no such token. */
function isNoToken(id: unknown): boolean {
  return id === undefined || id === null || (Number.isInteger(id) && (id as number) < 0);
}

function readEos(dir: string, config: Fields): number[] {
  const ids = new Set<number>();
  const generation = path.join(dir, 'generation_config.json');
  for (const fields of [config, ...(existsSync(generation) ? [Fields.read(generation)] : [])]) {
    if (!fields.has('eos_token_id')) continue;
    const [isId] = whole(0, MOST_COUNT);
    const holds = (value: unknown) => isId(value) || isNoToken(value);
    const value = fields.get<number | number[]>(
      'eos_token_id',
      'a token id or a list of them',
      (value) => holds(value) || (Array.isArray(value) && value.every(holds)),
    );
    for (const id of [value].flat()) if (!isNoToken(id)) ids.add(id);
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

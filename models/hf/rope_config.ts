/** Reads how config.json asks for rotary embeddings. */
import type {Fields} from './json_file.js';

/** How `models/llama/rope.ts` scales rotary frequencies for a longer context than the model was first trained on. */
export type RopeScaling =
  | {type: 'default'}
  | {type: 'linear'; factor: number}
  | {type: 'dynamic'; factor: number}
  | {type: 'proportional'; factor: number; partialRotaryFactor: number}
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
    }
  | {
      type: 'longrope';
      factor: number;
      attentionFactor?: number;
      /** Divisors of the frequencies, one for each pair of a head's channels. */
      shortFactor: number[];
      longFactor: number[];
      originalMaxPositionEmbeddings: number;
    };

export interface Rope {
  ropeTheta: number;
  ropeScaling: RopeScaling;
}

const TYPES = ['default', 'linear', 'dynamic', 'proportional', 'llama3', 'yarn', 'longrope'];

/**
 * Reads the older layout (`rope_theta` and `rope_scaling`) and that of transformers 5 (`rope_parameters`).
 * @param pairs half the head size
 * @throws Error naming the file, the field, what was expected and what came
 */
export function readRope(
  config: Fields,
  pairs: number,
  maxPositionEmbeddings: number,
  defaultTheta: number,
): Rope {
  const given = ['rope_scaling', 'rope_parameters'].map((name) => config.object(name));
  const rope = given.find((fields) => fields && Object.keys(fields.values).length > 0);
  const theta = rope?.has('rope_theta') ? rope : config;
  const ropeTheta = theta.positive('rope_theta', defaultTheta);
  if (!rope) return {ropeTheta, ropeScaling: {type: 'default'}};
  for (const layers of ['full_attention', 'sliding_attention'])
    if (rope.has(layers)) throw rope.error(layers, 'left out (all layers have one kind of rotary embedding)');
  return {ropeTheta, ropeScaling: readScaling(config, rope, pairs, maxPositionEmbeddings)};
}

function readScaling(
  config: Fields,
  rope: Fields,
  pairs: number,
  maxPositionEmbeddings: number,
): RopeScaling {
  const field = rope.has('rope_type') ? 'rope_type' : 'type';
  const type = rope.text(field, 'default');
  // As in transformers: without scaling the factor is not read, and with scaling a part of a head's channels does not fit
  // the others.
  const partial = rope.has('partial_rotary_factor') ? rope : config;
  const partialRotaryFactor = partial.positive('partial_rotary_factor', 1);
  if (partialRotaryFactor > 1 || (partialRotaryFactor < 1 && type !== 'default' && type !== 'proportional'))
    throw partial.error(
      'partial_rotary_factor',
      type === 'default' || type === 'proportional' ? 'at most 1' : `1 where ${field} is "${type}"`,
    );
  const original = config.has('original_max_position_embeddings') ? config : rope;
  const originalMaxPositionEmbeddings = original.whole(
    'original_max_position_embeddings',
    1,
    maxPositionEmbeddings,
  );
  const optional = (name: string) => (rope.has(name) ? rope.positive(name) : undefined);
  const stretch = maxPositionEmbeddings / originalMaxPositionEmbeddings;
  switch (type) {
    case 'default':
      return {type};
    case 'linear':
    case 'dynamic':
      return {type, factor: rope.positive('factor')};
    case 'proportional':
      return {type, factor: rope.positive('factor', 1), partialRotaryFactor};
    case 'llama3': {
      const lowFreqFactor = rope.positive('low_freq_factor');
      const highFreqFactor = rope.positive('high_freq_factor');
      if (highFreqFactor <= lowFreqFactor)
        throw rope.error('high_freq_factor', `more than low_freq_factor (${lowFreqFactor})`);
      const factor = rope.positive('factor');
      return {type, factor, lowFreqFactor, highFreqFactor, originalMaxPositionEmbeddings};
    }
    case 'yarn':
      return {
        type,
        factor: rope.positive('factor', stretch),
        attentionFactor: optional('attention_factor'),
        betaFast: rope.positive('beta_fast', 32),
        betaSlow: rope.positive('beta_slow', 1),
        mscale: optional('mscale'),
        mscaleAllDim: optional('mscale_all_dim'),
        truncate: rope.flag('truncate', true),
        originalMaxPositionEmbeddings,
      };
    case 'longrope': {
      const divisors = (name: string) =>
        rope.get<number[]>(
          name,
          `a list of ${pairs} numbers > 0, one for two channels of a head,`,
          (value) =>
            Array.isArray(value) &&
            value.length === pairs &&
            value.every((x) => typeof x === 'number' && x > 0),
        );
      return {
        type,
        factor: rope.positive('factor', stretch),
        attentionFactor: optional('attention_factor'),
        shortFactor: divisors('short_factor'),
        longFactor: divisors('long_factor'),
        originalMaxPositionEmbeddings,
      };
    }
    default:
      throw rope.error(field, `one of ${TYPES.map((name) => `"${name}"`).join(', ')}`);
  }
}

/** Frequencies of rotary position embeddings, with the scalings by which models extend their context. */
import type {LlamaConfig} from '../hf/config.js';
import type {RopeScaling} from '../hf/rope_config.js';

export interface RopeFrequencies {
  /** Radians per position for each pair of a head's channels, [D/2]. */
  frequencies: Float32Array;
  /** Factor of cos and sin: the attention factor of YaRN and LongRoPE, otherwise 1. */
  scale: number;
}

/**
 * The frequencies that `RotaryEmbedding` takes: `theta^(-2i/D)`, scaled as the config says. They are computed in
 * double precision and rounded once, so they differ from those of Hugging Face by a float32 rounding or two.
 *
 * LongRoPE has two sets of frequencies. transformers changes from the short to the long ones when a sequence grows past
 * the original context, and leaves the keys that it has cached as they are. Here the length of the cache decides, so that
 * all keys of a sequence are rotated alike. The dynamic scaling changes nothing up to `maxPositionEmbeddings`, which no
 * cache exceeds.
 *
 * Source: transformers, `modeling_rope_utils.py`; linear: Chen et al., arXiv 2306.15595; YaRN: Peng et al., arXiv
 * 2309.00071; llama3: Dubey et al., arXiv 2407.21783; LongRoPE: Ding et al., arXiv 2402.13753.
 *
 * @param long whether the cache is longer than the original context: {@link hasLongContext}
 */
export function ropeFrequencies(
  config: Pick<LlamaConfig, 'headDim' | 'ropeTheta' | 'ropeScaling'>,
  long = false,
): RopeFrequencies {
  const {headDim, ropeTheta, ropeScaling} = config;
  const plain = Array.from({length: headDim / 2}, (_, i) => ropeTheta ** (-(2 * i) / headDim));
  switch (ropeScaling.type) {
    case 'default':
    case 'dynamic':
      return {frequencies: Float32Array.from(plain), scale: 1};
    case 'proportional': {
      const {factor, partialRotaryFactor} = ropeScaling;
      const rotated = Math.floor((partialRotaryFactor * headDim) / 2); // pairs; the others stay where they are
      return {frequencies: Float32Array.from(plain, (f, i) => (i < rotated ? f / factor : 0)), scale: 1};
    }
    case 'linear':
      return {frequencies: Float32Array.from(plain, (f) => f / ropeScaling.factor), scale: 1};
    case 'llama3':
      return {frequencies: Float32Array.from(plain, (f) => llama3(f, ropeScaling)), scale: 1};
    case 'yarn':
      return yarn(plain, headDim, ropeTheta, ropeScaling);
    case 'longrope':
      return longRope(plain, ropeScaling, long);
  }
}

/** Whether a cache of `capacity` positions needs LongRoPE's long frequencies. */
export function hasLongContext({ropeScaling}: Pick<LlamaConfig, 'ropeScaling'>, capacity: number): boolean {
  return ropeScaling.type === 'longrope' && capacity > ropeScaling.originalMaxPositionEmbeddings;
}

/** LongRoPE's scaling: every pair is slowed down by a divisor of its own. */
function longRope(
  plain: number[],
  {factor, attentionFactor, shortFactor, longFactor, ...scaling}: Extract<RopeScaling, {type: 'longrope'}>,
  long: boolean,
): RopeFrequencies {
  const divisors = long ? longFactor : shortFactor;
  const inferred =
    factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(scaling.originalMaxPositionEmbeddings));
  return {
    frequencies: Float32Array.from(plain, (f, i) => f / divisors[i]),
    scale: attentionFactor ?? inferred,
  };
}

/**
 * Llama 3's scaling, by how often a pair turns within the original context. Pairs that turn less than `lowFreqFactor`
 * times are slowed down by `factor`, pairs that turn more than `highFreqFactor` times are kept, and those between are
 * interpolated.
 */
function llama3(frequency: number, scaling: Extract<RopeScaling, {type: 'llama3'}>): number {
  const {factor, lowFreqFactor, highFreqFactor, originalMaxPositionEmbeddings} = scaling;
  const turns = (originalMaxPositionEmbeddings * frequency) / (2 * Math.PI);
  if (turns > highFreqFactor) return frequency;
  if (turns < lowFreqFactor) return frequency / factor;
  const kept = (turns - lowFreqFactor) / (highFreqFactor - lowFreqFactor);
  return (1 - kept) * (frequency / factor) + kept * frequency;
}

/**
 * YaRN's scaling. Pairs up to the one that turns `betaFast` times within the original context are kept, pairs from
 * the one that turns `betaSlow` times on are slowed down by `factor`, and a linear ramp joins them.
 */
function yarn(
  plain: number[],
  headDim: number,
  theta: number,
  scaling: Extract<RopeScaling, {type: 'yarn'}>,
): RopeFrequencies {
  const {factor, attentionFactor, betaFast, betaSlow, mscale, mscaleAllDim, truncate} = scaling;
  const pairOf = (turns: number) =>
    (headDim * Math.log(scaling.originalMaxPositionEmbeddings / (turns * 2 * Math.PI))) /
    (2 * Math.log(theta));
  const low = Math.max(truncate ? Math.floor(pairOf(betaFast)) : pairOf(betaFast), 0);
  let high = Math.min(truncate ? Math.ceil(pairOf(betaSlow)) : pairOf(betaSlow), headDim - 1);
  if (high === low) high += 0.001; // as in transformers, against a division by 0
  const frequencies = Float32Array.from(plain, (frequency, i) => {
    const stretched = Math.min(Math.max((i - low) / (high - low), 0), 1);
    return (frequency / factor) * stretched + frequency * (1 - stretched);
  });

  const magnitude = (m: number) => (factor <= 1 ? 1 : 0.1 * m * Math.log(factor) + 1);
  const inferred = mscale && mscaleAllDim ? magnitude(mscale) / magnitude(mscaleAllDim) : magnitude(1);
  return {frequencies, scale: attentionFactor ?? inferred};
}

/** Chooses gamma, the number of tokens that the draft proposes in the next round. */
import type {LlamaConfig} from '../../models/hf/config.js';

/** The gammas to choose from: each is a capture of its own, made when it is first used. */
const CHOICES = [1, 2, 4, 8];
/** The estimate keeps this share of itself at each tested token: it remembers about ten of them. */
const MEMORY = 0.9;
/** The acceptance that is assumed before a token was tested. */
const PRIOR_ACCEPTANCE = 0.75;
/** What one more row in the verifier's block costs, in passes over one row: measured on the embedded pair on two CPU cores. */
const ROW_COST = 0.15;

/**
 * Chooses gamma from the acceptance so far. Where a drafted token is accepted with probability a, a round gives
 * (1 - a^(gamma + 1)) / (1 - a) tokens (Leviathan et al., arXiv 2211.17192, eq. 1) and costs 1 + gamma * cost passes of the verifier; the
 * gamma with the best quotient wins. Time is not measured, so that a seed gives the same text again.
 */
export class AdaptiveGamma {
  private acceptance = PRIOR_ACCEPTANCE;

  /** @param cost of drafting and verifying one token more, in passes of the verifier over one row */
  constructor(private readonly cost: number) {}

  next(): number {
    const a = this.acceptance;
    let best = CHOICES[0];
    let bestRate = 0;
    for (const gamma of CHOICES) {
      const tokens = a > 0.999 ? gamma + 1 : (1 - a ** (gamma + 1)) / (1 - a);
      const rate = tokens / (1 + gamma * this.cost);
      if (rate > bestRate) [best, bestRate] = [gamma, rate];
    }
    return best;
  }

  /** Learns from a round: every accepted token was tested, and so was the first rejected one. */
  update(gamma: number, accepted: number): void {
    for (let i = 0; i < Math.min(accepted + 1, gamma); i++)
      this.acceptance = MEMORY * this.acceptance + (1 - MEMORY) * (i < accepted ? 1 : 0);
  }
}

/**
 * What drafting and verifying one token more costs, in passes of the verifier over one row: the draft's share of the parameters, and one
 * more row of the block. Rows cost less on a GPU than on a CPU, but a seed must give the same text on both, so one number serves both.
 */
export function draftedTokenCost(draft: LlamaConfig, verifier: LlamaConfig): number {
  return parameterCount(draft) / parameterCount(verifier) + ROW_COST;
}

/** Parameters of the matrices that every token passes, from the sizes alone: the type that they are stored in must not matter. */
function parameterCount({
  hiddenSize,
  intermediateSize,
  numHiddenLayers,
  numAttentionHeads,
  numKeyValueHeads,
  headDim,
  vocabSize,
}: LlamaConfig): number {
  const attention = (2 * numAttentionHeads + 2 * numKeyValueHeads) * headDim;
  return hiddenSize * (numHiddenLayers * (attention + 3 * intermediateSize) + vocabSize);
}

/** Scores of a window from its logits: how likely its tokens were, and how many drafted tokens would have been accepted. */
import type {BlockLogits} from './decode.js';

/** Number of equal parts of a window's decoded positions for which perplexity is reported separately. */
export const BUCKETS = 8;

/** Sums over the decoded positions of a window. */
export interface ScoreSums {
  /** Negative log-likelihood of the text's tokens in nats, by position bucket. */
  nll: number[];
  /** Number of tokens, by position bucket. */
  tokens: number[];
  /** Positions whose likeliest token is also the likeliest under dense attention. */
  agreed: number;
  /** Positions at which draft and verifier were compared. */
  drafted: number;
  /** Probability that a token drafted there is accepted at temperature 1: Σ min(p, q). */
  overlap: number;
  /** Positions where both models have the same likeliest token. */
  greedyOverlap: number;
  /** Full blocks, of gamma + 1 rows. */
  blocks: number;
  /** Expected number of accepted tokens in full blocks at temperature 1. */
  acceptedLength: number;
  /** The same at temperature 0. */
  greedyAcceptedLength: number;
}

/** The bucket of the token at `position` in a window of `window` tokens, of which the first `prompt` are the prompt. */
export function bucketOf(position: number, prompt: number, window: number): number {
  return Math.floor(((position - prompt) * BUCKETS) / (window - prompt));
}

/** The first position of bucket i. */
export function bucketStart(i: number, prompt: number, window: number): number {
  return prompt + Math.ceil((i * (window - prompt)) / BUCKETS);
}

/** Collects the scores of one window, block by block. */
export class WindowScores {
  readonly sums: ScoreSums = {
    nll: new Array<number>(BUCKETS).fill(0),
    tokens: new Array<number>(BUCKETS).fill(0),
    ...{agreed: 0, drafted: 0, overlap: 0, greedyOverlap: 0},
    ...{blocks: 0, acceptedLength: 0, greedyAcceptedLength: 0},
  };
  /** The likeliest token after each position; -1 where no logits were added. */
  readonly likeliest: Int32Array;
  /** Scratch: probabilities of the verifier (p) and of the draft (q), not normalised. */
  private readonly p: Float64Array;
  private readonly q: Float64Array;

  /**
   * @param gamma drafted tokens of a full block
   * @param dense the likeliest tokens under dense attention; left out where this is the dense run
   */
  constructor(
    private readonly text: readonly number[],
    private readonly prompt: number,
    private readonly gamma: number,
    private readonly vocabulary: number,
    private readonly dense?: Int32Array,
  ) {
    this.likeliest = new Int32Array(text.length).fill(-1);
    this.p = new Float64Array(vocabulary);
    this.q = new Float64Array(vocabulary);
  }

  add({position, rows, verifier, draft}: BlockLogits): void {
    const {sums, text, p, q} = this;
    const full = draft && this.gamma > 0 && rows === this.gamma + 1;
    // The probability that all drafted tokens of the block so far are accepted.
    let [survives, survivesGreedy] = [1, 1];
    if (full) sums.blocks++;
    for (let row = 0; row < rows; row++) {
      const at = position + row;
      const slice = [row * this.vocabulary, (row + 1) * this.vocabulary] as const;
      const ofVerifier = softmax(verifier.subarray(...slice), p);
      const bucket = bucketOf(at + 1, this.prompt, text.length);
      sums.nll[bucket] += ofVerifier.logSum - verifier[slice[0] + text[at + 1]];
      sums.tokens[bucket]++;
      this.likeliest[at] = ofVerifier.likeliest;
      if (ofVerifier.likeliest === (this.dense ?? this.likeliest)[at]) sums.agreed++;
      if (!draft) continue;
      const width = draft.length / rows; // the draft may propose fewer tokens than the verifier has
      const ofDraft = softmax(draft.subarray(row * width, (row + 1) * width), q);
      let overlap = 0;
      for (let x = 0; x < width; x++) overlap += Math.min(p[x] / ofVerifier.sum, q[x] / ofDraft.sum);
      const greedy = ofVerifier.likeliest === ofDraft.likeliest ? 1 : 0;
      sums.drafted++;
      sums.overlap += overlap;
      sums.greedyOverlap += greedy;
      if (!full || row === this.gamma) continue;
      sums.acceptedLength += survives *= overlap;
      sums.greedyAcceptedLength += survivesGreedy *= greedy;
    }
  }
}

/** The token with the highest logit; the first of equal ones. */
export function likeliest(logits: Float32Array): number {
  let best = 0;
  for (let x = 1; x < logits.length; x++) if (logits[x] > logits[best]) best = x;
  return best;
}

/** Writes exp(x - max) to `exps`; `sum` is Σ exp(x - max) and `logSum` is log Σ exp(x). */
function softmax(logits: Float32Array, exps: Float64Array): {likeliest: number; sum: number; logSum: number} {
  const best = likeliest(logits);
  const max = logits[best];
  let sum = 0;
  for (let x = 0; x < logits.length; x++) sum += exps[x] = Math.exp(logits[x] - max);
  return {likeliest: best, sum, logSum: max + Math.log(sum)};
}

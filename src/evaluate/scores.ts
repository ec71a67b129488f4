/** What a window's logits say: how likely its tokens were, and how the draft would have fared. */
import type {BlockLogits} from './decode.js';

/** Parts of a window's decoded positions by which perplexity is told. */
export const BUCKETS = 8;

/** Sums over the decoded positions of a window. */
export interface ScoreSums {
  /** -log of the text's tokens' probabilities, in nats, and how many they are, by position bucket. */
  nll: number[];
  tokens: number[];
  /** Positions whose likeliest token is dense attention's. */
  agreed: number;
  /** Positions at which a draft was compared, the probability that its token is accepted there, and whether greedy drafts are. */
  drafted: number;
  overlap: number;
  greedyOverlap: number;
  /** Blocks with a full draft, and the accepted tokens expected of them: at temperature 1, and greedy. */
  blocks: number;
  acceptedLength: number;
  greedyAcceptedLength: number;
}

/** Position bucket of the token at `position` where `prompt` tokens of `window` are given. */
export function bucketOf(position: number, prompt: number, window: number): number {
  return Math.floor(((position - prompt) * BUCKETS) / (window - prompt));
}

/** Where bucket i begins. */
export function bucketStart(i: number, prompt: number, window: number): number {
  return prompt + Math.ceil((i * (window - prompt)) / BUCKETS);
}

export class WindowScores {
  readonly sums: ScoreSums = {
    nll: new Array<number>(BUCKETS).fill(0),
    tokens: new Array<number>(BUCKETS).fill(0),
    ...{agreed: 0, drafted: 0, overlap: 0, greedyOverlap: 0},
    ...{blocks: 0, acceptedLength: 0, greedyAcceptedLength: 0},
  };
  /** The likeliest token after each position; -1 where none was computed. */
  readonly likeliest: Int32Array;
  private readonly p: Float64Array;
  private readonly q: Float64Array;

  /**
   * @param dense the likeliest tokens of dense attention; without them those of this window are they
   * @param gamma tokens that a full block drafts
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
    // Of a block's drafts: the probability that all of them so far are accepted.
    let [survives, survivesGreedy] = [1, 1];
    if (full) sums.blocks++;
    for (let row = 0; row < rows; row++) {
      const at = position + row;
      const slice = [row * this.vocabulary, (row + 1) * this.vocabulary] as const;
      const own = softmax(verifier.subarray(...slice), p);
      const bucket = bucketOf(at + 1, this.prompt, text.length);
      sums.nll[bucket] += own.logSum - verifier[slice[0] + text[at + 1]];
      sums.tokens[bucket]++;
      this.likeliest[at] = own.likeliest;
      if (own.likeliest === (this.dense ?? this.likeliest)[at]) sums.agreed++;
      if (!draft) continue;
      const drafts = softmax(draft.subarray(...slice), q);
      let overlap = 0;
      for (let x = 0; x < p.length; x++) overlap += Math.min(p[x] / own.sum, q[x] / drafts.sum);
      const greedy = own.likeliest === drafts.likeliest ? 1 : 0;
      sums.drafted++;
      sums.overlap += overlap;
      sums.greedyOverlap += greedy;
      if (!full || row === this.gamma) continue;
      sums.acceptedLength += survives *= overlap;
      sums.greedyAcceptedLength += survivesGreedy *= greedy;
    }
  }
}

/** Of equals the first. */
export function likeliest(logits: Float32Array): number {
  let best = 0;
  for (let x = 1; x < logits.length; x++) if (logits[x] > logits[best]) best = x;
  return best;
}

/** Writes exp(x - max) to `exps`; `logSum` is log Σ exp(x). */
function softmax(logits: Float32Array, exps: Float64Array): {likeliest: number; sum: number; logSum: number} {
  const best = likeliest(logits);
  const max = logits[best];
  let sum = 0;
  for (let x = 0; x < logits.length; x++) sum += exps[x] = Math.exp(logits[x] - max);
  return {likeliest: best, sum, logSum: max + Math.log(sum)};
}

/** Each layer's own p: how much of its attention it may leave out, by what that does to the verifier's next token. */
import type {MixtureMap} from '../../models/layer_map.js';
import type {Llama} from '../../models/llama/llama.js';
import {TeacherForced, type BlockLogits} from '../evaluate/decode.js';
import {makeMethod} from '../evaluate/methods.js';
import {policyOf} from '../evaluate/policy.js';
import {KeyReads} from '../selection/key_reads.js';
import {resolveOptions} from '../options.js';
import {yieldToEventLoop} from '../decoding/yield_to_event_loop.js';

/** What a layer leaves out when it alone is measured: 1 - p. */
const LEFT_OUT = [0.2, 0.05] as const;
/** The budget that layers share is what they keep together where each leaves out this much. */
const REFERENCE = 0.1;
/** A layer's slack is no less than one over this, and no more than it. */
const MOST_SLACK = 3;
/** Less is rounding. */
const LEAST_DIVERGENCE = 1e-8;
/** A short window has few keys to leave out. */
const LEAST_WINDOW = 256;
/** Windows that are measured, the longest, and the share of each that is read densely before. */
const WINDOWS = 3;
const PREFILL = 0.75;
const GAMMA = 4;

/** At each of {@link LEFT_OUT}, the other layers keeping every key. */
export interface LayerCost {
  /** Mean KL(dense ‖ sparse) of the next token's distribution, in nats. */
  divergence: number[];
  /** Share of visible keys that the layer keeps. */
  kept: number[];
}

/**
 * The slack of layers that keep together what they would with a p of 1 - {@link REFERENCE} each, and cost the least divergence in all. Between
 * the two measured points, and beyond, a layer's divergence is a·s^α and what it keeps b·s^-β, s being what it leaves out. Where
 *
 *     s^(α + β) = λ · bβ / aα
 *
 * a key more lowers every layer's divergence by as much; λ is found by bisection.
 *
 * @param first layers before it take no part in the budget; their slack is by the same λ
 */
export function shareBudget(costs: readonly LayerCost[], first: number): number[] {
  const laws = costs.map(({divergence, kept}) => {
    const power = (more: number, less: number, least: number) =>
      Math.max(least, Math.log(more / less) / Math.log(LEFT_OUT[0] / LEFT_OUT[1]));
    const [most, some] = divergence.map((nats) => Math.max(nats, LEAST_DIVERGENCE));
    const [alpha, beta] = [power(most, some, 0.1), power(kept[1], kept[0], 0.01)];
    const [a, b] = [some / LEFT_OUT[1] ** alpha, kept[1] * LEFT_OUT[1] ** beta];
    const keeps = (s: number) => b * s ** -beta;
    const at = (lambda: number) => {
      const s = ((lambda * b * beta) / (a * alpha)) ** (1 / (alpha + beta));
      return Math.min(REFERENCE * MOST_SLACK, Math.max(REFERENCE / MOST_SLACK, s));
    };
    return {keeps, at};
  });
  const sharing = laws.slice(first);
  const sum = (numbers: number[]) => numbers.reduce((total, x) => total + x, 0);
  const budget = sum(sharing.map(({keeps}) => keeps(REFERENCE)));
  let [low, high] = [-40, 40]; // of log λ: the more a key is worth, the fewer are kept
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2;
    if (sum(sharing.map(({keeps, at}) => keeps(at(Math.exp(middle))))) > budget) low = middle;
    else high = middle;
  }
  return laws.map(({at}) => Math.round((100 * at(Math.exp(high))) / REFERENCE) / 100);
}

/**
 * Measures each layer's cost on the longest windows and shares the budget.
 * @param windows tokens; undefined is returned where none has {@link LEAST_WINDOW} of them, or every layer is dense by default
 * @throws Error when the signal fires
 */
export async function fitSlack(
  {draft, verifier}: {draft: Llama; verifier: Llama},
  map: MixtureMap,
  windows: readonly number[][],
  options: {onProgress?: (loaded: number, total: number) => void; signal?: AbortSignal} = {},
): Promise<number[] | undefined> {
  const layers = verifier.config.numHiddenLayers;
  const {denseLayers} = resolveOptions();
  const measured = windows
    .filter(({length}) => length >= LEAST_WINDOW)
    .sort((a, b) => b.length - a.length)
    .slice(0, WINDOWS);
  if (measured.length === 0 || layers <= denseLayers) return undefined;

  const costs = Array.from({length: layers}, (): LayerCost => ({divergence: [0, 0], kept: [0, 0]}));
  const total = measured.length * layers * LEFT_OUT.length;
  const decoder = new TeacherForced(verifier, draft, measured[0].length);
  let done = 0;
  try {
    for (const tokens of measured) {
      const prompt = Math.round(PREFILL * tokens.length);
      const dense: BlockLogits[] = [];
      const reads = () => new KeyReads(verifier.config, verifier.cacheBytesPerElement);
      const how = {gamma: GAMMA, refreshEvery: 0};
      for (const block of decoder.decode(tokens, prompt, {...how, policy: undefined, reads: reads()})) {
        dense.push(block);
        await yieldToEventLoop(options.signal);
      }
      for (const [layer, cost] of costs.entries()) {
        for (const [i, leftOut] of LEFT_OUT.entries()) {
          const alone = costs.map((_, other) => (other === layer ? 1 : 0));
          const method = makeMethod('calibrate', 'specattn', {p: 1 - leftOut, gamma: GAMMA, denseLayers: 0});
          const mixture = {...map.mixture, slack: alone};
          const policy = policyOf(method, verifier.config, draft.config, {...map, mixture});
          const read = reads();
          let [sum, block] = [0, 0];
          try {
            for (const {verifier: logits} of decoder.decode(tokens, prompt, {...how, policy, reads: read})) {
              sum += divergence(dense[block++].verifier, logits, verifier.config.vocabSize);
              await yieldToEventLoop(options.signal);
            }
          } finally {
            policy?.dispose?.();
          }
          const {kept, visible} = read.sums;
          cost.divergence[i] += sum / (tokens.length - prompt) / measured.length;
          cost.kept[i] += (1 - ((visible - kept) * layers) / visible) / measured.length;
          options.onProgress?.(++done, total);
        }
      }
    }
  } finally {
    decoder.dispose();
  }
  return shareBudget(costs, denseLayers);
}

/** Σ over rows of KL(softmax(dense) ‖ softmax(sparse)). */
export function divergence(dense: Float32Array, sparse: Float32Array, vocabulary: number): number {
  let total = 0;
  for (let from = 0; from < dense.length; from += vocabulary) {
    const to = from + vocabulary;
    const [p, q] = [logSum(dense, from, to), logSum(sparse, from, to)];
    for (let i = from; i < to; i++) total += Math.exp(dense[i] - p) * (dense[i] - p - (sparse[i] - q));
  }
  return total;
}

/** log Σ exp */
function logSum(logits: Float32Array, from: number, to: number): number {
  let max = -Infinity;
  for (let i = from; i < to; i++) max = Math.max(max, logits[i]);
  let sum = 0;
  for (let i = from; i < to; i++) sum += Math.exp(logits[i] - max);
  return max + Math.log(sum);
}

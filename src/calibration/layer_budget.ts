/**
 * The layer budget: how much of its attention each verifier layer leaves out. Layers differ in what leaving out the
 * same share costs, so a layer that costs little leaves out more and a layer that costs much leaves out less.
 *
 * The budget is one factor a layer: a layer's own p is 1 - factor · (1 - p). Layer maps, the options of `calibrate` and
 * the command line call it `slack`.
 */
import type {MixtureMap} from '../../models/layer_map.js';
import type {Llama} from '../../models/llama/llama.js';
import {TeacherForced, type BlockLogits} from '../evaluate/decode.js';
import {makeMethod} from '../evaluate/methods.js';
import {policyOf, type Policy} from '../evaluate/policy.js';
import {KeyReads, type ReadSums} from '../selection/key_reads.js';
import {resolveOptions} from '../options.js';
import {yieldToEventLoop} from '../decoding/yield_to_event_loop.js';

/** Shares of its attention, 1 - p, that a layer leaves out while it is measured. */
const LEFT_OUT = [0.2, 0.05] as const;
/** Under the budget the layers together keep as many keys as if each left out this share. */
const REFERENCE = 0.1;
/** Factors lie between 1 / LARGEST_FACTOR and LARGEST_FACTOR. */
const LARGEST_FACTOR = 3;
/** Smaller divergences, in nats, are rounding errors. */
const LEAST_DIVERGENCE = 1e-8;
/** Tokens of the shortest window that is measured: in a shorter one there are few keys to leave out. */
const LEAST_WINDOW = 256;
/** At most this many windows are measured, the longest ones. */
const MOST_WINDOWS = 3;
/** Share of a window that is read densely before rows are measured. */
const PREFILL = 0.75;
const GAMMA = 4;

interface Models {
  draft: Llama;
  verifier: Llama;
}

interface FitOptions {
  /** Measurements done so far and in all. */
  onProgress?: (loaded: number, total: number) => void;
  signal?: AbortSignal;
}

/** What one layer costs and saves at each of {@link LEFT_OUT}, while all other layers keep every key. */
export interface LayerCost {
  /** Mean KL(dense ‖ sparse) of the next token's distribution, in nats. */
  divergence: number[];
  /** Share of the visible keys that the layer keeps. */
  kept: number[];
}

/**
 * Finds the layer budget of a pair: decodes the longest windows with one layer sparse at a time, then solves for the
 * budget.
 * @param map the mixture that chooses keys; its own budget is ignored
 * @param windows texts as tokens
 * @returns a factor for each verifier layer; undefined where no window has {@link LEAST_WINDOW} tokens or every layer
 *     is dense by default
 * @throws Error when the signal fires
 */
export async function fitLayerBudget(
  models: Models,
  map: MixtureMap,
  windows: readonly number[][],
  options: FitOptions = {},
): Promise<number[] | undefined> {
  const {denseLayers} = resolveOptions();
  const longest = windows
    .filter(({length}) => length >= LEAST_WINDOW)
    .sort((a, b) => b.length - a.length)
    .slice(0, MOST_WINDOWS);
  if (longest.length === 0 || models.verifier.config.numHiddenLayers <= denseLayers) return undefined;
  return solveLayerBudget(await measureLayers(models, map, longest, options), denseLayers);
}

/**
 * Decodes each window densely, then once for each layer and each share that it leaves out.
 * @param windows the longest first
 */
async function measureLayers(
  {draft, verifier}: Models,
  map: MixtureMap,
  windows: readonly number[][],
  {onProgress, signal}: FitOptions,
): Promise<LayerCost[]> {
  const {numHiddenLayers: layers, vocabSize} = verifier.config;
  const decoder = new TeacherForced({verifier, draft}, windows[0].length);
  const decode = async (
    tokens: readonly number[],
    prompt: number,
    policy: Policy | undefined,
    onBlock: (block: BlockLogits) => void,
  ): Promise<ReadSums> => {
    const reads = new KeyReads(verifier.config, verifier.cacheBytesPerElement);
    for (const block of decoder.decode(tokens, prompt, {policy, gamma: GAMMA, refreshEvery: 0, reads})) {
      onBlock(block);
      await yieldToEventLoop(signal);
    }
    return reads.sums;
  };
  /** With a factor of 0 the other layers have a p of 1 and keep every key. */
  const onlySparse = (layer: number, leftOut: number): Policy => {
    const slack = Array.from({length: layers}, (_, other) => (other === layer ? 1 : 0));
    const method = makeMethod('calibrate', 'specattn', {p: 1 - leftOut, gamma: GAMMA, denseLayers: 0});
    return policyOf(method, verifier.config, draft.config, {...map, mixture: {...map.mixture, slack}})!;
  };

  const costs = Array.from({length: layers}, (): LayerCost => ({divergence: [0, 0], kept: [0, 0]}));
  const total = windows.length * layers * LEFT_OUT.length;
  let done = 0;
  try {
    for (const tokens of windows) {
      const prompt = Math.round(PREFILL * tokens.length);
      const dense: Float32Array[] = [];
      await decode(tokens, prompt, undefined, ({verifier: logits}) => dense.push(logits));
      for (const [layer, cost] of costs.entries()) {
        for (const [i, leftOut] of LEFT_OUT.entries()) {
          const policy = onlySparse(layer, leftOut);
          let [nats, block] = [0, 0];
          try {
            const {kept, visible} = await decode(tokens, prompt, policy, ({verifier: logits}) => {
              nats += divergence(dense[block++], logits, vocabSize);
            });
            cost.divergence[i] += nats / (tokens.length - prompt) / windows.length;
            // The sums are over all layers, but only this one left keys out.
            cost.kept[i] += (1 - ((visible - kept) * layers) / visible) / windows.length;
          } finally {
            policy.dispose?.();
          }
          onProgress?.(++done, total);
        }
      }
    }
  } finally {
    decoder.dispose();
  }
  return costs;
}

/**
 * The layer budget with the least total divergence among those that keep as many keys as a share of {@link REFERENCE}
 * left out of every layer.
 *
 * A layer that leaves out the share s is modelled by two power laws through its measured points: its divergence is
 * a·s^α, and it keeps b·s^-β of its keys. At the optimum one more key lowers the divergence by the same λ in every
 * layer, which holds where
 *
 *     s^(α + β) = λ · bβ / aα
 *
 * λ is found by bisection.
 *
 * @param firstSparse the first layer whose keys count; the factors of the layers before it follow from the same λ
 * @returns a factor for each layer, to two decimals
 */
export function solveLayerBudget(costs: readonly LayerCost[], firstSparse: number): number[] {
  const laws = costs.map(fitPowerLaws);
  const sparse = laws.slice(firstSparse);
  const keptAt = (logLambda: number) =>
    sum(sparse.map(({kept, leftOutAt}) => kept(leftOutAt(Math.exp(logLambda)))));
  const wanted = sum(sparse.map(({kept}) => kept(REFERENCE)));
  let [low, high] = [-40, 40]; // of log λ; a larger λ keeps fewer keys
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2;
    if (keptAt(middle) > wanted) low = middle;
    else high = middle;
  }
  return laws.map(({leftOutAt}) => Math.round((100 * leftOutAt(Math.exp(high))) / REFERENCE) / 100);
}

function fitPowerLaws({divergence, kept}: LayerCost) {
  const exponent = (more: number, less: number, least: number) =>
    Math.max(least, Math.log(more / less) / Math.log(LEFT_OUT[0] / LEFT_OUT[1]));
  const [most, some] = divergence.map((nats) => Math.max(nats, LEAST_DIVERGENCE));
  const [alpha, beta] = [exponent(most, some, 0.1), exponent(kept[1], kept[0], 0.01)];
  const [a, b] = [some / LEFT_OUT[1] ** alpha, kept[1] * LEFT_OUT[1] ** beta];
  return {
    /** Share of keys that the layer keeps where it leaves out s. */
    kept: (s: number) => b * s ** -beta,
    /** Share that the layer leaves out at λ, within the bounds of its factor. */
    leftOutAt: (lambda: number) => {
      const s = ((lambda * b * beta) / (a * alpha)) ** (1 / (alpha + beta));
      return Math.min(REFERENCE * LARGEST_FACTOR, Math.max(REFERENCE / LARGEST_FACTOR, s));
    },
  };
}

const sum = (numbers: readonly number[]) => numbers.reduce((total, x) => total + x, 0);

/**
 * Σ over rows of KL(softmax(dense) ‖ softmax(sparse)), in nats.
 * @param dense logits [rows,vocabulary]
 * @param sparse logits of the same shape
 */
export function divergence(dense: Float32Array, sparse: Float32Array, vocabulary: number): number {
  let total = 0;
  for (let from = 0; from < dense.length; from += vocabulary) {
    const to = from + vocabulary;
    const [p, q] = [logSumExp(dense, from, to), logSumExp(sparse, from, to)];
    for (let i = from; i < to; i++) total += Math.exp(dense[i] - p) * (dense[i] - p - (sparse[i] - q));
  }
  return total;
}

function logSumExp(logits: Float32Array, from: number, to: number): number {
  let max = -Infinity;
  for (let i = from; i < to; i++) max = Math.max(max, logits[i]);
  let exps = 0;
  for (let i = from; i < to; i++) exps += Math.exp(logits[i] - max);
  return max + Math.log(exps);
}

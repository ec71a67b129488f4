/** Calibration: which attention of the draft stands for each verifier layer's. */
import * as tf from '@tensorflow/tfjs-core';

import {MAP_KINDS, monotoneMap, type KlMap, type LayerMap, type MixtureMap} from '../../models/layer_map.js';
import {longestContext, newCaches, type Llama} from '../../models/llama/llama.js';
import type {LanguageModel} from '../language_model.js';
import {MixtureFit, SMALLEST_WEIGHT} from './mixture.js';
import {checkList, checkNames, checkValue, FLAG, refuse, TEXT} from '../../backend/check.js';
import {LoopState} from '../decoding/record.js';
import {fitSlack} from './layer_budget.js';
import {yieldToEventLoop} from '../decoding/yield_to_event_loop.js';

export interface CalibrateOptions {
  /** `kl`: the paper's map, one draft layer a verifier layer; `mixture`, the default: also combinations of the draft's heads. */
  map?: LayerMap['kind'];
  /** Whether a mixture may look back at the verifier's own attention in the rows before. Default true. */
  own?: boolean;
  /** Whether each layer of a mixture has a p of its own, for which the texts are decoded some times. Default true. */
  slack?: boolean;
  /** Tokens of a window of text. Default 1024, or the shorter context of the two models. */
  window?: number;
  /** Most rows (tokens) to compare in all. Default: every row of the texts. */
  rows?: number;
  onProgress?: (progress: {what: string; loaded: number; total: number}) => void;
  /** Ends the work with an error. */
  signal?: AbortSignal;
}

const OPTIONS = ['map', 'own', 'slack', 'window', 'rows', 'onProgress', 'signal'];
/** The first rows of a window see so few keys that every layer attends alike. */
const FIRST_ROWS = 16;
/** Of attention rows held at a time. */
const BYTES_AT_ONCE = 1 << 28;
const MOST_ROWS_AT_ONCE = 128;

/**
 * Compares the attention of every verifier layer j with that of every draft layer i over texts, by the mean over rows of
 *
 *     KL(A_j ‖ B_i) = Σ_key A_j[key] · (log A_j[key] − log B_i[key]),
 *
 * A and B being means over heads, and finds the monotone map with the least sum by dynamic programming. Within mapped layers, each
 * verifier head is given the draft head with the least divergence.
 *
 * A `mixture` map also holds, for each verifier layer and each of its key/value heads, the convex combination of all the draft's heads
 * and, unless `own` is false, of the verifier's own attention in the rows before with the least mean divergence, found by expectation
 * maximisation ({@link MixtureFit}); and, unless `slack` is false or windows are short, how much each layer may leave out ({@link fitSlack}).
 *
 * Source: SpecAttn, arXiv 2510.27641, section 3; Figure 2 is {@link heatmap} of the result.
 *
 * @throws Error where the pair has no draft, an option does not fit, the texts are shorter than a window's beginning, or the signal fires
 */
export async function calibrate(
  {draft, verifier, tokenizer}: Pick<LanguageModel, 'draft' | 'verifier' | 'tokenizer'>,
  texts: readonly string[],
  options: CalibrateOptions = {},
): Promise<LayerMap> {
  if (!draft) throw new Error('[calibrate] the pair must have a draft but has none');
  const context = longestContext({verifier, draft});
  const {
    map: kind = 'mixture',
    own = true,
    slack = true,
    window = Math.min(1024, context),
    rows = Infinity,
    onProgress,
    signal,
  } = options;
  checkNames('calibrate', options, OPTIONS);
  checkList('calibrate', 'texts', texts, TEXT);
  checkOptions(kind, window, rows, context);
  for (const [name, value] of Object.entries({own, slack})) checkValue('calibrate', name, value, FLAG);
  const windows = texts.flatMap((text) => cut(tokenizer.encode(text), window));
  const total = Math.min(
    rows,
    windows.reduce((sum, tokens) => sum + tokens.length - FIRST_ROWS, 0),
  );
  if (total <= 0) throw new Error(`[calibrate] the texts must have more than ${FIRST_ROWS} tokens`);

  const sums = new DivergenceSums(draft, verifier);
  const state = new LoopState(newCaches({verifier, draft}, window));
  const fit =
    kind === 'mixture' ? new MixtureFit(draft.config, verifier.config, total, window, own) : undefined;
  const step = Math.min(
    MOST_ROWS_AT_ONCE,
    Math.max(1, Math.floor(BYTES_AT_ONCE / (4 * window * sums.sources))),
  );
  const add = (ofVerifier: tf.Tensor3D[], ofDraft: tf.Tensor3D[], keys: number) => {
    sums.add(ofVerifier, ofDraft);
    fit?.add(ofVerifier, ofDraft, keys);
  };
  let done = 0;
  let map: MixtureMap;
  const compared: number[][] = [];
  try {
    for (const tokens of windows) {
      fit?.begin();
      if (done < total) compared.push(tokens);
      for (let from = 0; from < tokens.length && done < total;) {
        await yieldToEventLoop(signal);
        const count = from === 0 ? FIRST_ROWS : Math.min(step, tokens.length - from, total - done);
        advance(state, draft, verifier, tokens.slice(from, from + count), from, from === 0 ? undefined : add);
        if (from > 0) done += count;
        from += count;
        onProgress?.({what: 'calibrating', loaded: done, total});
      }
    }
    const kl: KlMap = {...sums.map(done), text: {rows: done, window}};
    if (!fit) return kl;
    const mixture = await fit.fit({
      onProgress: (loaded, most) => onProgress?.({what: 'fitting', loaded, total: most}),
      signal,
    });
    map = {...kl, kind: 'mixture', mixture};
  } finally {
    fit?.dispose();
    state.dispose();
  }
  const ofLayers =
    slack &&
    (await fitSlack({draft, verifier}, map, compared, {
      onProgress: (loaded, most) => onProgress?.({what: 'sharing', loaded, total: most}),
      signal,
    }));
  return ofLayers ? {...map, mixture: {...map.mixture, slack: ofLayers}} : map;
}

function checkOptions(kind: LayerMap['kind'], window: number, rows: number, context: number): void {
  if (!MAP_KINDS.includes(kind)) refuse('calibrate', 'map', `one of ${MAP_KINDS.join(', ')}`, kind);
  if (!Number.isInteger(window) || window <= FIRST_ROWS || window > context)
    refuse('calibrate', 'window', `a whole number from ${FIRST_ROWS + 1} to ${context}`, window);
  if (rows !== Infinity && !(Number.isInteger(rows) && rows > 0))
    refuse('calibrate', 'rows', 'a whole number >= 1', rows);
}

/** Windows that each begin as the text does: with the token that begins a text, which attention rests on. */
function cut(tokens: number[], window: number): number[][] {
  const windows: number[][] = [];
  for (let from = 1; from < tokens.length; from += window - 1)
    windows.push([tokens[0], ...tokens.slice(from, from + window - 1)]);
  return windows.filter(({length}) => length > FIRST_ROWS);
}

/** Takes both models over these tokens; their attention goes to `add`, with how many keys the last row sees. */
function advance(
  state: LoopState,
  draft: Llama,
  verifier: Llama,
  tokens: number[],
  from: number,
  add: ((ofVerifier: tf.Tensor3D[], ofDraft: tf.Tensor3D[], keys: number) => void) | undefined,
): void {
  const split = 2 * verifier.config.numHiddenLayers;
  state.advance((caches) => {
    const input = {tokens: tf.tensor1d(tokens, 'int32'), position: tf.tensor1d([from], 'int32')};
    const run = (model: Llama, cache: tf.Tensor[]) => {
      const layers = [...Array(model.config.numHiddenLayers).keys()];
      return model.forward({
        ...input,
        cache: cache as tf.Tensor3D[],
        outputs: add ? ['attentionRows'] : [],
        attention: add && {granularity: 'head', layers},
      });
    };
    const ofVerifier = run(verifier, caches.slice(0, split));
    const ofDraft = run(draft, caches.slice(split));
    add?.(
      ofVerifier.attentionRows as tf.Tensor3D[],
      ofDraft.attentionRows as tf.Tensor3D[],
      from + tokens.length,
    );
    return [...ofVerifier.cache, ...ofDraft.cache];
  });
}

/** Divergences summed over rows, in float64, of all pairs of layers and of all pairs of heads. */
class DivergenceSums {
  private readonly ofLayers: Float64Array;
  private readonly ofHeads: Float64Array;

  constructor(
    private readonly draft: Llama,
    private readonly verifier: Llama,
  ) {
    const [v, d] = [verifier.config, draft.config];
    this.ofLayers = new Float64Array(v.numHiddenLayers * d.numHiddenLayers);
    this.ofHeads = new Float64Array(this.ofLayers.length * v.numAttentionHeads * d.numAttentionHeads);
  }

  /** Attention rows held for one token: those of every head of both models, and three more of each while they are compared. */
  get sources(): number {
    const heads = ({config}: Llama) => config.numHiddenLayers * config.numAttentionHeads;
    return 4 * (heads(this.draft) + heads(this.verifier));
  }

  /** Adds rows of attention: a tensor [heads, rows, keys] for each layer of each model. */
  add(ofVerifier: tf.Tensor3D[], ofDraft: tf.Tensor3D[]): void {
    tf.tidy(() => {
      const flat = (x: tf.Tensor) =>
        tf.reshape(x, [-1, ofDraft[0].shape[1] * ofDraft[0].shape[2]]) as tf.Tensor2D;
      const byHead = (layers: tf.Tensor3D[]) => flat(tf.concat(layers, 0));
      const byLayer = (layers: tf.Tensor3D[]) => flat(tf.stack(layers.map((layer) => tf.mean(layer, 0))));
      addTo(this.ofHeads, divergenceSums(byHead(ofVerifier), byHead(ofDraft)));
      addTo(this.ofLayers, divergenceSums(byLayer(ofVerifier), byLayer(ofDraft)));
    });
  }

  /** The map that the sums over `rows` rows give. */
  map(rows: number): Omit<KlMap, 'text'> {
    const [v, d] = [this.verifier.config, this.draft.config];
    const kl = Array.from({length: v.numHiddenLayers}, (_, j) =>
      Array.from(this.ofLayers.subarray(j * d.numHiddenLayers, (j + 1) * d.numHiddenLayers), (sum) =>
        round(sum / rows),
      ),
    );
    const layers = monotoneMap(kl);
    const heads = layers.map((layer, j) =>
      Array.from({length: v.numAttentionHeads}, (_, head) => {
        const row = (j * v.numAttentionHeads + head) * d.numHiddenLayers * d.numAttentionHeads;
        const from = row + layer * d.numAttentionHeads;
        return indexOfLeast(this.ofHeads.subarray(from, from + d.numAttentionHeads));
      }),
    );
    return {
      version: 1,
      kind: 'kl',
      draft: {config: d.sha256},
      verifier: {config: v.sha256},
      layers,
      heads,
      kl,
    };
  }
}

/** To a millionth of a nat: more than the texts tell. */
function round(divergence: number): number {
  return Math.round(divergence * 1e6) / 1e6;
}

function indexOfLeast(values: Float64Array): number {
  return values.reduce((least, value, i) => (value < values[least] ? i : least), 0);
}

function addTo(sums: Float64Array, values: tf.Tensor): void {
  const numbers = values.dataSync();
  for (let i = 0; i < sums.length; i++) sums[i] += numbers[i];
}

/**
 * Sums over rows of the divergences of all pairs of sources (layers or heads), as one matrix product:
 * `out[j, i] = Σ_n v[j, n] · log v[j, n] − (v · (log d)ᵀ)[j, i]`, n running over rows and keys.
 *
 * @param verifier float32 [sources, rows · keys], each row's weights summing to 1
 * @param draft the same
 * @returns float32 [verifier's sources, draft's sources], in nats
 */
export function divergenceSums(verifier: tf.Tensor2D, draft: tf.Tensor2D): tf.Tensor2D {
  return tf.tidy(() => {
    const log = (x: tf.Tensor2D): tf.Tensor2D => tf.log(tf.maximum<tf.Tensor2D>(x, SMALLEST_WEIGHT));
    const own = tf.sum(tf.mul(verifier, log(verifier)), 1, true) as tf.Tensor2D;
    return tf.sub(own, tf.matMul(verifier, log(draft), false, true));
  });
}

/**
 * `calibrate`: compares the attention of a draft and a verifier over texts and finds the layer map, which sparse
 * verification uses.
 */
import * as tf from '@tensorflow/tfjs-core';

import {MAP_KINDS, type KlMap, type LayerMap} from '../../models/layer_map.js';
import type {Llama} from '../../models/llama/llama.js';
import {longestContext, newCaches, tokensForDraft, type PairCaches} from '../../models/pair.js';
import type {LanguageModel} from '../language_model.js';
import {DivergenceSums} from './divergence_sums.js';
import {MixtureFit} from './mixture.js';
import {checkList, checkNames, checkValue, FLAG, refuse, TEXT} from '../../backend/check.js';
import {assertEmbedded} from '../decoding/prompt.js';
import {LoopState} from '../decoding/state.js';
import {fitLayerBudget} from './layer_budget.js';
import {yieldToEventLoop} from '../decoding/yield_to_event_loop.js';

export interface CalibrateOptions {
  /**
   * `kl`: the map of the SpecAttn paper, one draft layer for each verifier layer. `mixture`, the default: also
   * combinations of the draft's heads and of the verifier's attention history.
   */
  map?: LayerMap['kind'];
  /**
   * Whether a mixture may use the attention history, a running average of what the verifier attended to before.
   * Default true.
   */
  own?: boolean;
  /**
   * Whether a mixture has a layer budget, which gives each layer its own p. Finding it decodes a few windows of the
   * texts many times. Default true.
   */
  slack?: boolean;
  /** Tokens of a window of text. Default 1024, or the shorter context of the two models. */
  window?: number;
  /** Most rows (tokens) to compare in all. Default: every row of the texts. */
  rows?: number;
  /** `what` is `calibrating` (rows are counted), `fitting` (iterations) or `layer budget` (measurements). */
  onProgress?: (progress: {what: string; loaded: number; total: number}) => void;
  /** Ends the work with an error. */
  signal?: AbortSignal;
}

const OPTIONS = ['map', 'own', 'slack', 'window', 'rows', 'onProgress', 'signal'];
/** The first rows of a window are not compared: they see so few keys that every layer attends alike. */
const FIRST_ROWS = 16;
/** Bytes of attention rows that may be held at a time. */
const BYTES_AT_ONCE = 1 << 28;
const MOST_ROWS_AT_ONCE = 128;

type Models = Record<'draft' | 'verifier', Llama>;
/**
 * Takes rows of attention: one tensor [heads, rows, capacity] for each layer of each model. The last row sees the
 * first `keys` keys.
 */
type OnAttention = (verifierLayers: tf.Tensor3D[], draftLayers: tf.Tensor3D[], keys: number) => void;

/**
 * Compares the attention of every verifier layer j with that of every draft layer i over texts, by the mean over rows
 * of
 *
 *     KL(A_j ‖ B_i) = Σ_key A_j[key] · (log A_j[key] − log B_i[key]),
 *
 * A and B being means over heads, and finds the monotone map with the least sum by dynamic programming. Within mapped
 * layers, each verifier head is given the draft head with the least divergence.
 *
 * A `mixture` map also holds, for each verifier layer and each of its KV heads, the convex combination with the least
 * mean divergence: of all the draft's heads and, unless `own` is false, of the attention history (`mixture.ts`).
 * Unless `slack` is false or windows are short, it holds the layer budget, too (`layer_budget.ts`).
 *
 * Source: SpecAttn, arXiv 2510.27641, section 3; Figure 2 is {@link heatmap} of the result.
 *
 * @throws Error where the pair has no draft, an option does not fit, the texts are shorter than a window's beginning,
 *     or the signal fires
 */
export async function calibrate(
  {draft, verifier, tokenizer}: Pick<LanguageModel, 'draft' | 'verifier' | 'tokenizer'>,
  texts: readonly string[],
  options: CalibrateOptions = {},
): Promise<LayerMap> {
  if (!draft) throw new Error('[calibrate] the pair must have a draft but has none');
  const models = {draft, verifier};
  const settings = resolveSettings(texts, options, longestContext(models));
  const {window, rows, slack, onProgress, signal} = settings;

  const {windows, total} = takeRows(
    texts.flatMap((text) => cut(tokenizer.encode(text), window)),
    rows,
  );
  for (const tokens of windows) assertEmbedded('calibrate', tokenizer, tokens, verifier.config.vocabSize);
  if (total <= 0) throw new Error(`[calibrate] the texts must have more than ${FIRST_ROWS} tokens`);

  const map = await compareAttention(models, windows, total, settings);
  if (map.kind === 'kl' || !slack) return map;
  const layerBudget = await fitLayerBudget(models, map, windows, {
    onProgress: (loaded, most) => onProgress?.({what: 'layer budget', loaded, total: most}),
    signal,
  });
  return layerBudget ? {...map, mixture: {...map.mixture, slack: layerBudget}} : map;
}

type Settings = Required<Omit<CalibrateOptions, 'onProgress' | 'signal'>> &
  Pick<CalibrateOptions, 'onProgress' | 'signal'>;

function resolveSettings(texts: readonly string[], options: CalibrateOptions, context: number): Settings {
  checkNames('calibrate', options, OPTIONS);
  const {
    map = 'mixture',
    own = true,
    slack = true,
    window = Math.min(1024, context),
    rows = Infinity,
    onProgress,
    signal,
  } = options;
  checkList('calibrate', 'texts', texts, TEXT);
  if (!MAP_KINDS.includes(map)) refuse('calibrate', 'map', `one of ${MAP_KINDS.join(', ')}`, map);
  if (!Number.isInteger(window) || window <= FIRST_ROWS || window > context)
    refuse('calibrate', 'window', `a whole number from ${FIRST_ROWS + 1} to ${context}`, window);
  if (rows !== Infinity && !(Number.isInteger(rows) && rows > 0))
    refuse('calibrate', 'rows', 'a whole number >= 1', rows);
  for (const [name, value] of Object.entries({own, slack})) checkValue('calibrate', name, value, FLAG);
  return {map, own, slack, window, rows, onProgress, signal};
}

/** Cuts a text into windows that each begin with the text's first token, on which models rest much of their attention. */
function cut(tokens: number[], window: number): number[][] {
  const windows: number[][] = [];
  for (let from = 1; from < tokens.length; from += window - 1)
    windows.push([tokens[0], ...tokens.slice(from, from + window - 1)]);
  return windows.filter(({length}) => length > FIRST_ROWS);
}

/**
 * As many of the first windows as hold `most` rows to compare (all windows, if they hold fewer), and how many rows to
 * compare in them.
 */
function takeRows(windows: number[][], most: number): {windows: number[][]; total: number} {
  const taken: number[][] = [];
  let total = 0;
  for (const tokens of windows) {
    if (total >= most) break;
    taken.push(tokens);
    total += tokens.length - FIRST_ROWS;
  }
  return {windows: taken, total: Math.min(most, total)};
}

/** Runs both models over the windows, compares `total` rows of their attention, and fits a mixture if one is wanted. */
async function compareAttention(
  models: Models,
  windows: readonly number[][],
  total: number,
  {map: kind, own, window, onProgress, signal}: Settings,
): Promise<LayerMap> {
  const {draft, verifier} = models;
  const sums = new DivergenceSums(draft.config, verifier.config);
  const state = new LoopState(newCaches(models, window));
  const fit =
    kind === 'mixture' ? new MixtureFit(draft.config, verifier.config, total, window, own) : undefined;
  const add: OnAttention = (verifierLayers, draftLayers, keys) => {
    sums.add(verifierLayers, draftLayers);
    fit?.add(verifierLayers, draftLayers, keys);
  };
  const step = rowsAtOnce(models, window);
  let done = 0;
  try {
    for (const tokens of windows) {
      await yieldToEventLoop(signal);
      fit?.beginWindow();
      forward(models, state, tokens.slice(0, FIRST_ROWS), 0);
      for (let from = FIRST_ROWS; from < tokens.length && done < total;) {
        await yieldToEventLoop(signal);
        const count = Math.min(step, tokens.length - from, total - done);
        forward(models, state, tokens.slice(from, from + count), from, add);
        from += count;
        done += count;
        onProgress?.({what: 'calibrating', loaded: done, total});
      }
    }
    const kl: KlMap = {...sums.map(done), text: {rows: done, window}};
    if (!fit) return kl;
    const mixture = await fit.fit({
      onProgress: (loaded, most) => onProgress?.({what: 'fitting', loaded, total: most}),
      signal,
    });
    return {...kl, kind: 'mixture', mixture};
  } finally {
    fit?.dispose();
    state.dispose();
  }
}

/**
 * How many rows are compared at a time. A row takes the attention weights of every head of both models, and three more tensors of their size
 * during the comparison.
 */
function rowsAtOnce({draft, verifier}: Models, window: number): number {
  const heads = ({config}: Llama) => config.numHiddenLayers * config.numAttentionHeads;
  const bytes = 4 * window * 4 * (heads(draft) + heads(verifier));
  return Math.min(MOST_ROWS_AT_ONCE, Math.max(1, Math.floor(BYTES_AT_ONCE / bytes)));
}

/** Runs both models over tokens whose first position is `from`, and hands their attention to `onAttention`. */
function forward(
  {draft, verifier}: Models,
  state: LoopState<PairCaches>,
  tokens: number[],
  from: number,
  onAttention?: OnAttention,
): void {
  state.advance(({verifierCache, draftCache}) => {
    const position = tf.tensor1d([from], 'int32');
    const run = (model: Llama, ids: number[], cache: tf.Tensor3D[]) => {
      const layers = [...Array(model.config.numHiddenLayers).keys()];
      return model.forward({
        tokens: tf.tensor1d(ids, 'int32'),
        position,
        cache,
        outputs: onAttention ? ['attentionRows'] : [],
        attention: onAttention && {granularity: 'head', layers},
      });
    };
    const verified = run(verifier, tokens, verifierCache);
    const drafted = run(draft, tokensForDraft(draft, tokens), draftCache);
    onAttention?.(
      verified.attentionRows as tf.Tensor3D[],
      drafted.attentionRows as tf.Tensor3D[],
      from + tokens.length,
    );
    return {verifierCache: verified.cache, draftCache: drafted.cache};
  });
}

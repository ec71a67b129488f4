/** A section that times whole rounds of speculative decoding with models of random weights: dense and sparse verification. */
import * as tf from '@tensorflow/tfjs-core';

import type {WeightedHead} from '../../models/layer_map.js';
import type {Llama} from '../../models/llama/llama.js';
import type {Capture} from '../../backend/index.js';
import {speculativeRound} from '../../src/decoding/round.js';
import {flatten, named, type SequenceState} from '../../src/decoding/state.js';
import {usedHeads, type SelectionPlan} from '../../src/selection/plan.js';
import {SelectionTensors} from '../../src/selection/tensors.js';
import {round as rounded} from '../statistics.js';
import {BLOCK, GAMMA, layerKeyBytes, position, weightBytes, type Bench} from './bench.js';
import type {Row, Section} from './report.js';

/** Shares of the context that a key set lists. */
const SHARES = [0.22, 0.31];
/** Draft heads that each set of the made-up mixture combines. These numbers are like those of the embedded pair's layer map. */
const HEADS_OF_SET = 12;
/** Weight of the attention history in each set of the mixture. */
const HISTORY_WEIGHT = 0.4;
/** Length of the attention history in rows. */
const HISTORY_ROWS = 8;
/** First layers of the verifier that read every key. */
const DENSE_LAYERS = 2;
const OPTIONS = {sinks: 4, recent: 16, union: 'causal'} as const;
/** Temperature, topK, topP and minP of greedy decoding. */
const SETTINGS = [0, 0, 1, 0];
const PHASES = ['draft', 'select', 'verify', 'accept'] as const;
/** Bisection steps of the search for p. */
const SEARCH = 12;

export function round(bench: Bench): Section {
  const note = `Each row is a whole round as in generate: gamma ${GAMMA}, greedy, the first ${DENSE_LAYERS} layers of the verifier dense. 'dense' reads every key. 'sparse' has a kl map as in the paper, with one key set for each draft layer. 'mixture' has one key set for each sparse verifier layer, from ${HEADS_OF_SET} heads of the draft and the attention history. The attention of models with random weights is nearly uniform, so p = 0.95 would keep nearly every key. Instead a search (${SEARCH} rounds, not timed) finds the p with which each key set lists the given share of the context. NucleusSelect therefore does its full work on real attention rows, and the kept keys lie anywhere in the cache. Every replay starts at the same position and, with a mixture, with an attention history of zeros; otherwise the history would select the keys of the replay before again. The floor is the time to read the weights, and the keys and values that are seen, once in each pass.`;
  const rows: Row[] = [];
  if (bench.configs.length < 2)
    return {name: 'round', note: 'This section is left out: it needs a verifier and a draft.', rows};
  const [verifier, draft] = bench.configs.map((named) => bench.model(named));
  for (const keys of bench.sizes.roundKeys) {
    rows.push(...roundsOver(bench, verifier, draft, keys));
    bench.trim();
  }
  return {name: 'round', note, rows};
}

/** The plan of a made-up `kl` map, which spreads the draft's layers evenly over the verifier's. */
function evenPlan(verifier: Llama, draft: Llama): SelectionPlan {
  const layers = verifier.config.numHiddenLayers;
  const dense = Math.min(DENSE_LAYERS, layers - 1);
  const mapped = Array.from({length: layers}, (_, i) =>
    Math.floor((i * draft.config.numHiddenLayers) / layers),
  );
  const attentionLayers = [...new Set(mapped.slice(dense))];
  return {
    attention: {granularity: 'layer', layers: attentionLayers},
    sets: mapped.map((layer, i) => (i < dense ? -1 : attentionLayers.indexOf(layer))),
    setsPerLayer: 1,
    mix: attentionLayers.map((_, i) => attentionLayers.map((_, j) => Number(i === j))),
  };
}

/**
 * The plan of a made-up `mixture` map. Each sparse layer's set combines a few draft heads, beginning in the draft layer of
 * {@link evenPlan}, with the attention history of the layer.
 */
function mixturePlan(verifier: Llama, draft: Llama): SelectionPlan {
  const {attention, sets} = evenPlan(verifier, draft);
  const sparse = sets.map((_, layer) => layer).filter((layer) => sets[layer] >= 0);
  const heads = draft.config.numAttentionHeads;
  const all = attention.layers.length * heads;
  // With a stride of heads + 1, each further head of a set comes from the next draft layer and has another number.
  const combinations = sparse.map((layer) => ({
    heads: Array.from({length: HEADS_OF_SET}, (_, i): WeightedHead => {
      const head = (sets[layer] * heads + i * (heads + 1)) % all;
      return [attention.layers[Math.floor(head / heads)], head % heads, (1 - HISTORY_WEIGHT) / HEADS_OF_SET];
    }),
  }));
  const used = usedHeads(combinations, draft.config);
  const mix = combinations.map((combination, set) => [
    ...used.rowOf(combination),
    ...sparse.map((_, other) => (other === set ? HISTORY_WEIGHT : 0)),
  ]);
  return {
    attention: {granularity: 'head', layers: used.layers, heads: used.heads},
    sets: sets.map((set, layer) => (set < 0 ? -1 : sparse.indexOf(layer))),
    setsPerLayer: 1,
    mix,
    historyRows: HISTORY_ROWS,
  };
}

function roundsOver(bench: Bench, verifier: Llama, draft: Llama, keys: number): Row[] {
  const {backend, timer, report} = bench;
  const start = keys - BLOCK;
  const state: SequenceState = {
    last: tf.tensor1d([1, 2], 'int32'),
    position: position(start),
    seed: tf.tensor1d([3, 4], 'int32'),
    settings: tf.tensor1d(SETTINGS),
    verifierCache: bench.filledCache(verifier, keys),
    draftCache: bench.filledCache(draft, keys),
  };
  const reset = () => backend.assign(state.position, Int32Array.of(start));
  const capture = (selection?: SelectionTensors, selects: Partial<SequenceState> = {}): Capture => {
    const step = speculativeRound(draft, verifier, GAMMA, selection, OPTIONS);
    const all = {...state, ...selects};
    return backend.capture(flatten(all), (tensors) => {
      const next = step(named(all, tensors), () => backend.device.mark());
      return {state: flatten(next.state, all), outputs: next.outputs};
    });
  };
  const layers = verifier.config.numHiddenLayers;
  const passes =
    GAMMA * (weightBytes(draft) + draft.config.numHiddenLayers * layerKeyBytes(draft, keys)) +
    weightBytes(verifier);
  const measure = (
    captured: Capture,
    before: () => void,
    kind: string,
    bytes: number,
    extra: Record<string, number> = {},
  ) => {
    const times = timer.replays(captured, before);
    const us = times.reduce((sum, x) => sum + x, 0);
    const phases = Object.fromEntries(PHASES.map((phase, i) => [`${phase} µs`, rounded(times[i])]));
    return report.row(`round/${kind}/${keys}`, us, bytes, {...phases, launches: captured.launches, ...extra});
  };

  const rows: Row[] = [];
  const sparseRounds = (kind: string, plan: SelectionPlan) => {
    const selection = new SelectionTensors(plan, BLOCK);
    const sets = plan.mix.length;
    const p = tf.fill<tf.Rank.R1>([sets], 0.5);
    const history = plan.historyRows === undefined ? undefined : tf.zeros<tf.Rank.R2>([sets, keys]);
    const nothing = history && tf.zerosLike(history);
    const captured = capture(selection, {p, attentionHistory: history});
    const before = () => {
      reset();
      if (history) backend.launch('Copy', [nothing!], [history]);
    };
    try {
      for (const share of SHARES) {
        const found = searchShare(bench, captured, p, share, keys, before);
        const sparse = plan.sets.filter((set) => set >= 0).length;
        const bytes =
          passes +
          (layers - sparse) * layerKeyBytes(verifier, keys) +
          sparse * layerKeyBytes(verifier, keys * found.share);
        rows.push(
          measure(captured, before, `${kind} ${Math.round(share * 100)}%`, bytes, {
            'share kept %': rounded(100 * found.share),
            p: rounded(found.p),
          }),
        );
        const last = rows[rows.length - 1];
        last['faster than dense ×'] = rounded(rows[0].us / last.us);
      }
    } finally {
      captured.dispose();
      selection.dispose();
      tf.dispose([p, history, nothing].filter((x) => x !== undefined));
    }
  };
  try {
    const captured = capture();
    try {
      rows.push(measure(captured, reset, 'dense', passes + layers * layerKeyBytes(verifier, keys)));
    } finally {
      captured.dispose();
    }
    sparseRounds('sparse', evenPlan(verifier, draft));
    sparseRounds('mixture', mixturePlan(verifier, draft));
  } finally {
    tf.dispose(flatten(state));
  }
  return rows;
}

/**
 * Searches by bisection, for each key set, the p with which its list holds `share` of the context, and leaves the result in `p`.
 * @returns the means over sets of the share of keys listed and of p
 */
function searchShare(
  {backend}: Bench,
  captured: Capture,
  p: tf.Tensor1D,
  share: number,
  keys: number,
  before: () => void,
): {share: number; p: number} {
  const [sets] = p.shape;
  const low = new Float32Array(sets);
  const high = new Float32Array(sets).fill(1);
  const middle = () => low.map((x, i) => (x + high[i]) / 2);
  let counts = new Int32Array(0);
  for (let i = 0; i <= SEARCH; i++) {
    backend.assign(p, middle());
    before();
    captured.replay();
    const report = captured.outputs[0].dataSync() as Int32Array;
    counts = report.slice(BLOCK, BLOCK + sets);
    if (i === SEARCH) break;
    const tried = middle();
    tried.forEach((x, set) => ((counts[set] > share * keys ? high : low)[set] = x));
  }
  const mean = (list: ArrayLike<number>) => Array.from(list).reduce((sum, x) => sum + x, 0) / sets;
  return {share: mean(counts) / keys, p: mean(middle())};
}

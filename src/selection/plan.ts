/** Turns a layer map into a selection plan: which attention rows of the draft choose the keys of which verifier layers. */
import type {LlamaConfig} from '../../models/hf/config.js';
import type {Combination, LayerMap, WeightedHead} from '../../models/layer_map.js';
import type {Pair} from '../../models/pair.js';
import type {ResolvedOptions} from '../options.js';

/** The least p of a set, however much its layer budget leaves out. */
const MIN_P = 0.01;

export interface SelectionPlan {
  /**
   * The attention that the draft is asked for: its layers, in order. The rows of a step are those of the layers themselves, or those of
   * the listed heads of each layer.
   */
  attention:
    {granularity: 'layer'; layers: number[]} | {granularity: 'head'; layers: number[]; heads: number[][]};
  /** For each verifier layer the number of its first set, or -1 where the layer stays dense. */
  sets: number[];
  /** Sets of a sparse layer: 1, or one for each KV head. */
  setsPerLayer: number;
  /** How each set weighs the draft's rows, [S,R]; with an attention history [S,R + S], a column for each set's history. */
  mix: number[][];
  /** With an attention history: how many rows its running average covers, roughly. */
  historyRows?: number;
  /** With a layer budget: for each set, the factor of 1 - p that the set leaves out. */
  layerBudget?: number[];
}

/**
 * The plan for one answer of a pair; undefined where verification is dense or every layer stays dense.
 * @throws Error where the pair has no layer map
 */
export function planAnswer(
  {draft, verifier, layerMap, layerMapReason}: Pair,
  options: Pick<ResolvedOptions, 'verification' | 'denseLayers' | 'granularity'>,
): SelectionPlan | undefined {
  if (options.verification === 'dense' || options.denseLayers >= verifier.config.numHiddenLayers)
    return undefined;
  if (!layerMap)
    throw new Error(
      `[generate] verification '${options.verification}' needs a layer map (${layerMapReason}): run 'specattn calibrate' for this pair, or ask for 'dense'`,
    );
  return planSelection(layerMap, draft!.config, verifier.config, options);
}

/**
 * The layer map as sets. With granularity `head` each KV head of each sparse layer has a set. With `layer` each sparse layer has one;
 * under the map of the SpecAttn paper (`kl`) the layers that map to the same draft layer share one.
 */
export function planSelection(
  map: LayerMap,
  draft: LlamaConfig,
  verifier: LlamaConfig,
  {granularity, denseLayers}: Pick<ResolvedOptions, 'granularity' | 'denseLayers'>,
): SelectionPlan {
  const sparse = map.layers.map((_, layer) => layer).filter((layer) => layer >= denseLayers);
  if (map.kind === 'kl' && granularity === 'layer') return planByLayer(map, sparse);

  const setsPerLayer = granularity === 'layer' ? 1 : verifier.numKeyValueHeads;
  const combinations = sparse.flatMap((layer): Combination[] => {
    if (map.kind === 'kl') return combineMappedHeads(map, layer, verifier);
    return granularity === 'layer' ? [map.mixture.layers[layer]] : map.mixture.groups[layer];
  });
  const used = usedHeads(combinations, draft);
  const budget = map.kind === 'mixture' ? map.mixture.slack : undefined;
  const hasHistory = map.kind === 'mixture' && combinations.some(({own}) => own > 0);
  const sets = map.layers.map(() => -1);
  sparse.forEach((layer, i) => (sets[layer] = i * setsPerLayer));
  const mix = combinations.map((combination, set) => {
    const row = used.rowOf(combination);
    return hasHistory
      ? [...row, ...combinations.map((_, other) => (other === set ? combination.own : 0))]
      : row;
  });
  return {
    attention: {granularity: 'head', layers: used.layers, heads: used.heads},
    sets,
    setsPerLayer,
    mix,
    ...(hasHistory && {historyRows: map.mixture.ownRows}),
    ...(budget && {
      layerBudget: sparse.flatMap((layer) => new Array<number>(setsPerLayer).fill(budget[layer])),
    }),
  };
}

/**
 * Here the option p becomes the p of each set, [S]: the share of its weighted attention row that the set keeps. A set with layer budget b
 * leaves out b times as much as the option says, and keeps at least MIN_P.
 */
export function thresholds({mix, layerBudget}: SelectionPlan, p: number): number[] {
  return mix.map((_, set) => Math.max(MIN_P, 1 - (layerBudget?.[set] ?? 1) * (1 - p)));
}

/** The draft's heads that any combination weighs, in order: the draft gives the attention rows of these heads alone. */
export function usedHeads(
  combinations: readonly Pick<Combination, 'heads'>[],
  {numHiddenLayers, numAttentionHeads}: Pick<LlamaConfig, 'numHiddenLayers' | 'numAttentionHeads'>,
) {
  const named = combinations.flatMap(({heads}) =>
    heads.map(([layer, head]) => layer * numAttentionHeads + head),
  );
  const used = [...new Set(named)].sort((a, b) => a - b);
  const places = new Map(used.map((head, place) => [head, place]));
  const byLayer = Array.from({length: numHiddenLayers}, (_, layer) =>
    used
      .map((head) => head - layer * numAttentionHeads)
      .filter((head) => head >= 0 && head < numAttentionHeads),
  );
  const layers = [...byLayer.keys()].filter((layer) => byLayer[layer].length > 0);
  return {
    /** The draft layers that have a used head. */
    layers,
    /** The used heads of each of `layers`. */
    heads: layers.map((layer) => byLayer[layer]),
    /** The weights that a combination gives to the rows of all used heads. */
    rowOf(combination: Pick<Combination, 'heads'>): number[] {
      const row = new Array<number>(used.length).fill(0);
      for (const [layer, head, weight] of combination.heads)
        row[places.get(layer * numAttentionHeads + head)!] += weight;
      return row;
    },
  };
}

/** The plan of the SpecAttn paper: one set for each draft layer that a sparse layer is mapped to. */
function planByLayer(map: LayerMap, sparse: number[]): SelectionPlan {
  const layers = [...new Set(sparse.map((layer) => map.layers[layer]))];
  const sets = map.layers.map(() => -1);
  sparse.forEach((layer) => (sets[layer] = layers.indexOf(map.layers[layer])));
  const mix = layers.map((_, i) => layers.map((_, j) => (i === j ? 1 : 0)));
  return {attention: {granularity: 'layer', layers}, sets, setsPerLayer: 1, mix};
}

/** For each KV head of a layer, the mean of the draft heads that its query heads map to. */
function combineMappedHeads(map: LayerMap, layer: number, verifier: LlamaConfig): Combination[] {
  const kvHeads = verifier.numKeyValueHeads;
  const perKvHead = verifier.numAttentionHeads / kvHeads;
  return Array.from({length: kvHeads}, (_, kvHead) => ({
    heads: map.heads[layer]
      .slice(kvHead * perKvHead, (kvHead + 1) * perKvHead)
      .map((head): WeightedHead => [map.layers[layer], head, 1 / perKvHead]),
    own: 0,
  }));
}

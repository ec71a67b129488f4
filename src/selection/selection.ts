/** Which attention of the draft selects keys for which verifier layer: the layer map as the tensors that NucleusSelect takes. */
import * as tf from '@tensorflow/tfjs-core';

import type {LlamaConfig} from '../../models/hf/config.js';
import type {Combination, LayerMap, WeightedHead} from '../../models/layer_map.js';
import type {AttentionOf} from '../../models/llama/llama.js';
import type {ResolvedOptions} from '../options.js';

/** A set's own p is no less. */
const LEAST_P = 0.01;

export interface SelectionPlan {
  /**
   * What is asked of the draft: of which layers, in order; the rows of a step are theirs, or those of the heads of each that are
   * listed.
   */
  attention:
    {granularity: 'layer'; layers: number[]} | {granularity: 'head'; layers: number[]; heads: number[][]};
  /** For each verifier layer the first of its sets, or -1 where the layer stays dense. */
  sets: number[];
  /** Sets of a sparse layer: 1, or one a key/value head. */
  setsPerLayer: number;
  /** How each set weighs the draft's rows, [S,R]; where sets look back at their own attention, [S,R + S]. */
  mix: number[][];
  /** Where sets look back: over about how many rows. */
  ownRows?: number;
  /** Where sets have a p of their own: how much each leaves out where p leaves out 1. */
  slack?: number[];
}

/**
 * The map as sets. With granularity `head` each key/value head of each sparse layer has one. With `layer` each sparse layer has one
 * of a mixture's; of the paper's map those that share a draft layer share one.
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
  const slack = map.kind === 'mixture' ? map.mixture.slack : undefined;
  const looksBack = map.kind === 'mixture' && combinations.some(({own}) => own > 0);
  const sets = map.layers.map(() => -1);
  sparse.forEach((layer, i) => (sets[layer] = i * setsPerLayer));
  const mix = combinations.map((combination, set) => {
    const row = used.rowOf(combination);
    return looksBack
      ? [...row, ...combinations.map((_, other) => (other === set ? combination.own : 0))]
      : row;
  });
  return {
    attention: {granularity: 'head', layers: used.layers, heads: used.heads},
    sets,
    setsPerLayer,
    mix,
    ...(looksBack && {ownRows: map.mixture.ownRows}),
    ...(slack && {slack: sparse.flatMap((layer) => new Array<number>(setsPerLayer).fill(slack[layer]))}),
  };
}

/** The draft's heads that any combination weighs, by layer, in order: the draft gives their rows alone. */
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
    layers,
    /** Of each of `layers`. */
    heads: layers.map((layer) => byLayer[layer]),
    /** How a combination weighs the rows of all these heads. */
    rowOf(combination: Pick<Combination, 'heads'>): number[] {
      const row = new Array<number>(used.length).fill(0);
      for (const [layer, head, weight] of combination.heads)
        row[places.get(layer * numAttentionHeads + head)!] += weight;
      return row;
    },
  };
}

/** A set for each draft layer in use. */
function planByLayer(map: LayerMap, sparse: number[]): SelectionPlan {
  const layers = [...new Set(sparse.map((layer) => map.layers[layer]))];
  const sets = map.layers.map(() => -1);
  sparse.forEach((layer) => (sets[layer] = layers.indexOf(map.layers[layer])));
  const mix = layers.map((_, i) => layers.map((_, j) => (i === j ? 1 : 0)));
  return {attention: {granularity: 'layer', layers}, sets, setsPerLayer: 1, mix};
}

/** For each key/value head of a layer, the mean of the draft heads that its query heads map to. */
function combineMappedHeads(map: LayerMap, layer: number, verifier: LlamaConfig): Combination[] {
  const groups = verifier.numKeyValueHeads;
  const perGroup = verifier.numAttentionHeads / groups;
  return Array.from({length: groups}, (_, group) => ({
    heads: map.heads[layer]
      .slice(group * perGroup, (group + 1) * perGroup)
      .map((head): WeightedHead => [map.layers[layer], head, 1 / perGroup]),
    own: 0,
  }));
}

/** The plan's tensors for blocks of `rows` rows, kept until disposed of. */
export class SelectionTensors {
  readonly mix: tf.Tensor2D;
  readonly p: tf.Tensor1D;
  /** What the draft's passes are asked for. */
  readonly attention: AttentionOf;
  /** Where sets look back: {@link fading} of the plan. */
  readonly fading: tf.Tensor2D | undefined;
  private readonly tensors: tf.Tensor[] = [];

  constructor(
    readonly plan: SelectionPlan,
    p: number,
    rows: number,
  ) {
    const {attention, mix, ownRows, slack} = plan;
    const {granularity, layers} = attention;
    const keep = <T extends tf.Tensor>(tensor: T): T => {
      this.tensors.push(tf.keep(tensor));
      return tensor;
    };
    try {
      this.mix = keep(tf.tensor2d(mix.flat(), [mix.length, mix[0].length], 'float32'));
      const ofSets = mix.map((_, set) => Math.max(LEAST_P, 1 - (slack?.[set] ?? 1) * (1 - p)));
      this.p = keep(tf.tensor1d(ofSets, 'float32'));
      const heads =
        attention.granularity === 'head'
          ? attention.heads.map((list) => keep(tf.tensor1d(list, 'int32')))
          : undefined;
      this.attention = {granularity, layers, ...(heads && {heads})};
      this.fading = ownRows === undefined ? undefined : keep(tf.tensor2d(fading(ownRows, rows)));
    } catch (error) {
      this.dispose();
      throw error;
    }
  }

  dispose(): void {
    tf.dispose(this.tensors);
  }
}

/**
 * What n accepted rows make of a running average, for every n from 0 to `rows`: the factors of the average before and of each row of the
 * block, [rows + 1, 1 + rows]. Rows that were not accepted count for nothing.
 */
export function fading(ownRows: number, rows: number): number[][] {
  const keep = 1 - 1 / ownRows;
  return Array.from({length: rows + 1}, (_, n) => [
    keep ** n,
    ...Array.from({length: rows}, (_, i) => (i < n ? (1 - keep) * keep ** (n - 1 - i) : 0)),
  ]);
}

/**
 * The running average of each set's own attention after a block of which so many rows were accepted.
 * @param own float32 [S,C]
 * @param rows float32 [S,T,C]
 * @param factors float32 [T + 1,1 + T]: those of {@link fading}
 * @param accepted int32 [1]
 */
export function lookBack(
  own: tf.Tensor2D,
  rows: tf.Tensor3D,
  factors: tf.Tensor2D,
  accepted: tf.Tensor1D,
): tf.Tensor2D {
  const row = tf.expandDims<tf.Tensor3D>(tf.gather(factors, accepted), 0); // [1,1,1 + T]
  const all = tf.concat3d([tf.expandDims<tf.Tensor3D>(own, 1), rows], 1);
  return tf.reshape(tf.matMul(row, all), own.shape);
}

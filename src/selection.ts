/** Which attention of the draft selects keys for which verifier layer: the layer map as the tensors that NucleusSelect takes. */
import * as tf from '@tensorflow/tfjs-core';

import type {LlamaConfig} from '../models/config.js';
import type {LayerMap, WeightedHead} from '../models/layer_map.js';
import type {ResolvedOptions} from './options.js';

export interface SelectionPlan {
  /** What is asked of the draft: of which layers, in order; the rows of a step are theirs, or theirs by head. */
  attention: {granularity: 'layer' | 'head'; layers: number[]};
  /** For each verifier layer the first of its sets, or -1 where the layer stays dense. */
  sets: number[];
  /** Sets of a sparse layer: 1, or one a key/value head. */
  setsPerLayer: number;
  /** How each set weighs the draft's rows, [S,R]. */
  mix: number[][];
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
  const combinations = sparse.flatMap((layer) => {
    if (map.kind === 'kl') return combineMappedHeads(map, layer, verifier);
    return granularity === 'layer' ? [map.mixture.layers[layer]] : map.mixture.groups[layer];
  });
  const layers = [...new Set(combinations.flatMap((heads) => heads.map(([layer]) => layer)))].sort(
    (a, b) => a - b,
  );
  const sets = map.layers.map(() => -1);
  sparse.forEach((layer, i) => (sets[layer] = i * setsPerLayer));
  const mix = combinations.map((heads) => {
    const row = new Array<number>(layers.length * draft.numAttentionHeads).fill(0);
    for (const [layer, head, weight] of heads)
      row[layers.indexOf(layer) * draft.numAttentionHeads + head] += weight;
    return row;
  });
  return {attention: {granularity: 'head', layers}, sets, setsPerLayer, mix};
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
function combineMappedHeads(map: LayerMap, layer: number, verifier: LlamaConfig): WeightedHead[][] {
  const groups = verifier.numKeyValueHeads;
  const perGroup = verifier.numAttentionHeads / groups;
  return Array.from({length: groups}, (_, group) =>
    map.heads[layer]
      .slice(group * perGroup, (group + 1) * perGroup)
      .map((head): WeightedHead => [map.layers[layer], head, 1 / perGroup]),
  );
}

/** The plan's tensors, kept until disposed of. */
export class Selection {
  readonly mix: tf.Tensor2D;
  readonly p: tf.Tensor1D;

  constructor(
    readonly plan: SelectionPlan,
    p: number,
  ) {
    const {mix} = plan;
    this.mix = tf.keep(tf.tensor2d(mix.flat(), [mix.length, mix[0].length], 'float32'));
    this.p = tf.keep(tf.tensor1d(new Array<number>(mix.length).fill(p), 'float32'));
  }

  dispose(): void {
    tf.dispose([this.mix, this.p]);
  }
}

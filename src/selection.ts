/** Which draft attention selects keys for which verifier layer: the layer map as the tensors that NucleusSelect takes. */
import * as tf from '@tensorflow/tfjs-core';

import type {LlamaConfig} from '../models/config.js';
import type {LayerMap} from '../models/layer_map.js';
import type {ResolvedOptions} from './options.js';

export interface SelectionPlan {
  /** Draft layers whose attention is asked for, in order; the rows of a step are theirs, or theirs by head. */
  attentionLayers: number[];
  /** For each verifier layer the first of its sets, or -1 where the layer stays dense. */
  sets: number[];
  /** Sets of a sparse layer: 1, or one a key/value head. */
  setsPerLayer: number;
  /** How each set weighs the draft's rows, [S,R]. */
  mix: number[][];
}

/**
 * The paper's map as sets: with granularity `layer` one set for each draft layer in use, which all verifier layers mapped to it
 * share; with `head` one for each key/value head of each sparse layer, the mean of the draft heads that its query heads map to.
 */
export function planSelection(
  map: LayerMap,
  draft: LlamaConfig,
  verifier: LlamaConfig,
  {granularity, denseLayers}: Pick<ResolvedOptions, 'granularity' | 'denseLayers'>,
): SelectionPlan {
  const sparse = map.layers.map((_, layer) => layer).filter((layer) => layer >= denseLayers);
  const attentionLayers = [...new Set(sparse.map((layer) => map.layers[layer]))];
  const sets = map.layers.map(() => -1);
  const mix: number[][] = [];
  if (granularity === 'layer') {
    attentionLayers.forEach((_, i) => mix.push(attentionLayers.map((_, j) => (i === j ? 1 : 0))));
    sparse.forEach((layer) => (sets[layer] = attentionLayers.indexOf(map.layers[layer])));
    return {attentionLayers, sets, setsPerLayer: 1, mix};
  }
  const groups = verifier.numKeyValueHeads;
  const perGroup = verifier.numAttentionHeads / groups;
  for (const layer of sparse) {
    sets[layer] = mix.length;
    const firstRow = attentionLayers.indexOf(map.layers[layer]) * draft.numAttentionHeads;
    for (let group = 0; group < groups; group++) {
      const row = new Array<number>(attentionLayers.length * draft.numAttentionHeads).fill(0);
      for (let head = group * perGroup; head < (group + 1) * perGroup; head++)
        row[firstRow + map.heads[layer][head]] += 1 / perGroup;
      mix.push(row);
    }
  }
  return {attentionLayers, sets, setsPerLayer: groups, mix};
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

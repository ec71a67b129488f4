/**
 * Kullback-Leibler divergences between the attention of two models, summed over rows, and the layer map that follows
 * from them.
 */
import * as tf from '@tensorflow/tfjs-core';

import type {LlamaConfig} from '../../models/hf/config.js';
import {monotoneMap, type KlMap} from '../../models/layer_map.js';
import {SMALLEST_WEIGHT} from './mixture_steps.js';

/** Divergences of all pairs of layers and of all pairs of heads; summed in float64. */
export class DivergenceSums {
  /** [verifier layers, draft layers], of attention averaged over heads. */
  private readonly byLayer: Float64Array;
  /** [verifier layers and heads, draft layers and heads]. */
  private readonly byHead: Float64Array;

  constructor(
    private readonly draft: LlamaConfig,
    private readonly verifier: LlamaConfig,
  ) {
    this.byLayer = new Float64Array(verifier.numHiddenLayers * draft.numHiddenLayers);
    this.byHead = new Float64Array(
      this.byLayer.length * verifier.numAttentionHeads * draft.numAttentionHeads,
    );
  }

  /** Adds rows of attention: one tensor [heads, rows, keys] for each layer of each model. */
  add(verifierLayers: tf.Tensor3D[], draftLayers: tf.Tensor3D[]): void {
    const [, rows, keys] = draftLayers[0].shape;
    tf.tidy(() => {
      const flat = (x: tf.Tensor) => tf.reshape(x, [-1, rows * keys]) as tf.Tensor2D;
      const heads = (layers: tf.Tensor3D[]) => flat(tf.concat(layers, 0));
      const means = (layers: tf.Tensor3D[]) => flat(tf.stack(layers.map((layer) => tf.mean(layer, 0))));
      addTo(this.byHead, divergenceSums(heads(verifierLayers), heads(draftLayers)));
      addTo(this.byLayer, divergenceSums(means(verifierLayers), means(draftLayers)));
    });
  }

  /**
   * The layer map of the SpecAttn paper: the monotone map with the least sum of divergences and, within mapped layers, the closest
   * draft head of each verifier head.
   * @param rows how many rows were added
   */
  map(rows: number): Omit<KlMap, 'text'> {
    const {draft, verifier} = this;
    const kl = Array.from({length: verifier.numHiddenLayers}, (_, j) =>
      Array.from(this.byLayer.subarray(j * draft.numHiddenLayers, (j + 1) * draft.numHiddenLayers), (sum) =>
        round(sum / rows),
      ),
    );
    const layers = monotoneMap(kl);
    const heads = layers.map((layer, j) =>
      Array.from({length: verifier.numAttentionHeads}, (_, head) => {
        const row = (j * verifier.numAttentionHeads + head) * draft.numHiddenLayers * draft.numAttentionHeads;
        const from = row + layer * draft.numAttentionHeads;
        return indexOfLeast(this.byHead.subarray(from, from + draft.numAttentionHeads));
      }),
    );
    return {
      version: 1,
      kind: 'kl',
      draft: {config: draft.sha256},
      verifier: {config: verifier.sha256},
      layers,
      heads,
      kl,
    };
  }
}

/**
 * Sums over rows of the divergences of all pairs of sources (layers or heads), as one matrix product:
 * `out[j, i] = Σ_n v[j, n] · log v[j, n] − (v · (log d)ᵀ)[j, i]`, n running over rows and keys.
 *
 * @param verifier float32 [verifier's sources, rows · keys]; the weights of each row sum to 1
 * @param draft float32 [draft's sources, rows · keys]; the weights of each row sum to 1
 * @returns float32 [verifier's sources, draft's sources], in nats
 */
export function divergenceSums(verifier: tf.Tensor2D, draft: tf.Tensor2D): tf.Tensor2D {
  return tf.tidy(() => {
    const log = (x: tf.Tensor2D): tf.Tensor2D => tf.log(tf.maximum<tf.Tensor2D>(x, SMALLEST_WEIGHT));
    const negativeEntropy = tf.sum(tf.mul(verifier, log(verifier)), 1, true) as tf.Tensor2D;
    return tf.sub(negativeEntropy, tf.matMul(verifier, log(draft), false, true));
  });
}

function addTo(sums: Float64Array, values: tf.Tensor): void {
  const numbers = values.dataSync();
  for (let i = 0; i < sums.length; i++) sums[i] += numbers[i];
}

function indexOfLeast(values: Float64Array): number {
  return values.reduce((least, value, i) => (value < values[least] ? i : least), 0);
}

/** Rounds to a millionth of a nat. The figures of a calibration are less precise than that. */
function round(divergence: number): number {
  return Math.round(divergence * 1e6) / 1e6;
}

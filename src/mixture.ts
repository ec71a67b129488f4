/** The fit of the mixture map: each verifier layer's attention as a convex combination of the draft's heads'. */
import {setImmediate} from 'node:timers/promises';
import * as tf from '@tensorflow/tfjs-core';

import type {LlamaConfig} from '../models/config.js';
import type {Mixture, WeightedHead} from '../models/layer_map.js';

/** Attention rows that are kept for the fit, in bytes; of longer texts an even sample of rows is. */
const SAMPLE_BYTES = 1 << 29;
/** Heads with less weight are left out: all of them together change little, and each costs a row of attention a step. */
const LEAST_WEIGHT = 0.01;
/** The fit has converged when no weight moved by more. */
const LEAST_CHANGE = 2e-4;
const MOST_ITERATIONS = 200;
const DECIMALS = 4;

export interface FitOptions {
  onProgress?: (iteration: number, most: number) => void;
  signal?: AbortSignal;
}

/**
 * One iteration of expectation maximisation on Σ_n KL(target[n,t] ‖ Σ_s weights[t,s] · source[n,s]), n running over rows:
 *
 *     weights'[t,s] = weights[t,s] / N · Σ_n Σ_key target[n,t,key] · source[n,s,key] / Σ_s' weights[t,s'] · source[n,s',key]
 *
 * The divergence never rises and weights stay a convex combination: those of each target sum to 1.
 *
 * @param target float32 [N,T,keys], rows that sum to 1
 * @param source float32 [N,S,keys], the same
 * @param weights float32 [T,S]
 * @returns responsibilities: N times the new weights, float32 [T,S]
 */
export function responsibilities(
  target: tf.Tensor3D,
  source: tf.Tensor3D,
  weights: tf.Tensor2D,
): tf.Tensor2D {
  return tf.tidy(() => {
    const share = tf.div(target, combine(source, weights));
    return tf.mul(weights, tf.sum(tf.matMul(share, source, false, true), 0));
  });
}

/** What a weight of 0 counts as where it is divided by or its logarithm is taken: a key costs 18.4 nats then, not infinity. */
export const SMALLEST_WEIGHT = 1e-8;

/** Σ_s weights[t,s] · source[n,s]: [N,T,keys], at least {@link SMALLEST_WEIGHT}. */
function combine(source: tf.Tensor3D, weights: tf.Tensor2D): tf.Tensor3D {
  return tf.maximum(tf.matMul(tf.expandDims<tf.Tensor3D>(weights, 0), source), SMALLEST_WEIGHT);
}

/** Σ_n KL(target[n,t] ‖ Σ_s weights[t,s] · source[n,s]), in nats: [T]. */
export function divergenceOf(target: tf.Tensor3D, source: tf.Tensor3D, weights: tf.Tensor2D): tf.Tensor1D {
  return tf.tidy(() => {
    const own = tf.log(tf.maximum(target, SMALLEST_WEIGHT));
    return tf.sum(tf.mul(target, tf.sub(own, tf.log(combine(source, weights)))), [0, 2]);
  });
}

/** Rows of attention of both models, kept on the device: the targets and the sources of a fit. */
export class MixtureFit {
  private readonly blocks: {target: tf.Tensor3D; source: tf.Tensor3D}[] = [];
  private readonly stride: number;
  private offered = 0;
  private rows = 0;

  /** @param rows how many rows will be offered at most, of at most `keys` keys each */
  constructor(
    private readonly draft: LlamaConfig,
    private readonly verifier: LlamaConfig,
    rows: number,
    keys: number,
  ) {
    this.stride = Math.ceil((rows * keys * 4 * (this.targets + this.sources)) / SAMPLE_BYTES);
  }

  /** The layers, then all their key/value heads. */
  private get targets(): number {
    return this.verifier.numHiddenLayers * (1 + this.verifier.numKeyValueHeads);
  }
  private get sources(): number {
    return this.draft.numHiddenLayers * this.draft.numAttentionHeads;
  }

  /**
   * Offers rows of attention, of which every `stride`-th is kept: a tensor [heads, rows, capacity] for each layer of each model.
   * @param keys how many of the capacity's keys the last row sees
   */
  add(ofVerifier: tf.Tensor3D[], ofDraft: tf.Tensor3D[], keys: number): void {
    const rows = ofDraft[0].shape[1];
    const first = (this.stride - (this.offered % this.stride)) % this.stride;
    this.offered += rows;
    if (first >= rows) return;
    const block = tf.tidy(() => {
      const picked = (layer: tf.Tensor3D): tf.Tensor3D =>
        tf.stridedSlice(
          layer,
          [0, first, 0],
          [layer.shape[0], rows, keys],
          [1, this.stride, 1],
        ) as tf.Tensor3D;
      const byRow = (layers: tf.Tensor3D[]): tf.Tensor3D => tf.transpose(tf.concat(layers, 0), [1, 0, 2]);
      const heads = ofVerifier.map(picked);
      const groups = heads.map((layer): tf.Tensor3D => {
        const [count, n] = [this.verifier.numKeyValueHeads, layer.shape[1]];
        return tf.mean(tf.reshape(layer, [count, -1, n, keys]), 1);
      });
      const layers = heads.map((layer): tf.Tensor3D => tf.mean(layer, 0, true));
      return {target: byRow([...layers, ...groups]), source: byRow(ofDraft.map(picked))};
    });
    this.blocks.push({target: tf.keep(block.target), source: tf.keep(block.source)});
    this.rows += block.source.shape[0];
  }

  /** The combinations with the least divergence. */
  async fit({onProgress, signal}: FitOptions = {}): Promise<Mixture> {
    const {targets, sources} = this;
    let weights: Float32Array = new Float32Array(targets * sources).fill(1 / sources);
    let done = 0;
    const converge = async () => {
      for (let change = Infinity; change > LEAST_CHANGE && done < MOST_ITERATIONS; done++) {
        await setImmediate(); // signals and progress have their turn
        signal?.throwIfAborted();
        const next = this.sum([targets, sources], weights, responsibilities);
        normalise(next, sources);
        change = next.reduce((most, weight, i) => Math.max(most, Math.abs(weight - weights[i])), 0);
        weights = next;
        onProgress?.(done + 1, MOST_ITERATIONS);
      }
    };
    await converge();
    // Without the small ones the others take up what they gave.
    weights = weights.map((weight) => (weight < LEAST_WEIGHT ? 0 : weight));
    normalise(weights, sources);
    done = Math.min(done, MOST_ITERATIONS - 20);
    await converge();
    onProgress?.(MOST_ITERATIONS, MOST_ITERATIONS);

    const {numHiddenLayers: layers, numKeyValueHeads: groups} = this.verifier;
    const combinations = Array.from({length: targets}, (_, t) =>
      this.heads(weights.subarray(t * sources, (t + 1) * sources)),
    );
    const divergence = this.sum([targets], weights, divergenceOf);
    return {
      layers: combinations.slice(0, layers),
      groups: Array.from({length: layers}, (_, j) =>
        combinations.slice(layers + j * groups, layers + (j + 1) * groups),
      ),
      kl: Array.from(divergence.subarray(0, layers), (sum) => round(sum / this.rows, 6)),
    };
  }

  /** What `of` gives for each block, summed in float64. */
  private sum(
    shape: number[],
    weights: Float32Array,
    of: (target: tf.Tensor3D, source: tf.Tensor3D, weights: tf.Tensor2D) => tf.Tensor,
  ): Float32Array {
    const sums = new Float64Array(tf.util.sizeFromShape(shape));
    tf.tidy(() => {
      const $weights = tf.tensor2d(weights, [this.targets, this.sources]);
      for (const {target, source} of this.blocks) {
        const part = of(target, source, $weights).dataSync();
        for (let i = 0; i < sums.length; i++) sums[i] += part[i];
      }
    });
    return Float32Array.from(sums);
  }

  /** The heads with a weight, the heaviest first. */
  private heads(weights: Float32Array): WeightedHead[] {
    const {numAttentionHeads: heads} = this.draft;
    return Array.from(weights, (weight, i): WeightedHead => [
      Math.floor(i / heads),
      i % heads,
      round(weight, DECIMALS),
    ])
      .filter(([, , weight]) => weight > 0)
      .sort(([, , a], [, , b]) => b - a);
  }

  dispose(): void {
    this.blocks.forEach((block) => tf.dispose([block.target, block.source]));
    this.blocks.length = 0;
  }
}

/** Makes every `columns` weights sum to 1, in place. */
function normalise(weights: Float32Array, columns: number): void {
  for (let from = 0; from < weights.length; from += columns) {
    const row = weights.subarray(from, from + columns);
    const sum = row.reduce((a, b) => a + b, 0);
    row.forEach((weight, i) => (row[i] = weight / sum));
  }
}

function round(value: number, decimals: number): number {
  return Math.round(value * 10 ** decimals) / 10 ** decimals;
}

/** The fit of the mixture map: each verifier layer's attention as a convex combination of the draft's heads' and its own before. */
import * as tf from '@tensorflow/tfjs-core';

import type {LlamaConfig} from '../../models/hf/config.js';
import type {Combination, Mixture, WeightedHead} from '../../models/layer_map.js';
import {fading} from '../selection/selection.js';
import {yieldToEventLoop} from '../decoding/yield_to_event_loop.js';

/** Attention rows that are kept for the fit, in bytes; of longer texts an even sample of rows is. */
const SAMPLE_BYTES = 1 << 29;
/** Sources with less weight are left out: all of them together change little, and each head costs a row of attention a step. */
const LEAST_WEIGHT = 0.01;
/** The fit has converged when no weight moved by more. */
const LEAST_CHANGE = 2e-4;
const MOST_ITERATIONS = 200;
const DECIMALS = 4;
/** Over how many rows own attention is averaged: of 4, 8, 16 and 32 the one with the least divergence on the embedded pair. */
const OWN_ROWS = 8;
/** A round decodes about so many rows, all with the average as it was before it. */
const ROUND_ROWS = 5;
/** What a weight of 0 counts as where it is divided by or its logarithm is taken: a key costs 18.4 nats then, not infinity. */
export const SMALLEST_WEIGHT = 1e-8;

/** N rows of attention. */
export interface Sample {
  /** float32 [N,T,keys], what is to be combined; rows sum to 1. */
  target: tf.Tensor3D;
  /** float32 [N,S,keys]: what all targets are combined from. */
  source: tf.Tensor3D;
  /** float32 [N,T,keys]: and each from its own attention before. */
  own?: tf.Tensor3D;
}

/**
 * One iteration of expectation maximisation on Σ_n KL(target[n,t] ‖ mixed[n,t]), mixed being the combination of sources and own by the
 * weights, n running over rows:
 *
 *     weights'[t,s] = weights[t,s] / N · Σ_n Σ_key target[n,t,key] · source[n,s,key] / mixed[n,t,key]
 *
 * and the same for own. The divergence never rises and weights stay a convex combination: those of each target sum to 1.
 *
 * @param weights float32 [T,S + 1], own's last
 * @returns responsibilities: N times the new weights, float32 [T,S + 1]
 */
export function responsibilities(sample: Sample, weights: tf.Tensor2D): tf.Tensor2D {
  return tf.tidy(() => {
    const {target, source, own} = sample;
    const share = tf.div<tf.Tensor3D>(target, combine(sample, weights));
    const ofSources = tf.sum<tf.Tensor2D>(tf.matMul(share, source, false, true), 0);
    const ofOwn = own ? tf.sum(tf.mul(share, own), [0, 2]) : tf.zeros([target.shape[1]]);
    return tf.mul(weights, tf.concat2d([ofSources, tf.expandDims<tf.Tensor2D>(ofOwn, 1)], 1));
  });
}

/** Σ_n KL(target[n,t] ‖ mixed[n,t]), in nats: [T]. */
export function divergenceOf(sample: Sample, weights: tf.Tensor2D): tf.Tensor1D {
  return tf.tidy(() => {
    const {target} = sample;
    const log = tf.log(tf.maximum(target, SMALLEST_WEIGHT));
    return tf.sum(tf.mul(target, tf.sub(log, tf.log(combine(sample, weights)))), [0, 2]);
  });
}

/** The combinations [N,T,keys], at least {@link SMALLEST_WEIGHT}. */
function combine({source, own}: Sample, weights: tf.Tensor2D): tf.Tensor3D {
  const [targets, columns] = weights.shape;
  const ofSources = tf.slice(weights, [0, 0], [targets, columns - 1]);
  const mixed = tf.matMul(tf.expandDims<tf.Tensor3D>(ofSources, 0), source);
  const ofOwn = tf.slice(weights, [0, columns - 1], [targets, 1]);
  return tf.maximum(own ? tf.add(mixed, tf.mul(own, ofOwn)) : mixed, SMALLEST_WEIGHT);
}

export interface FitOptions {
  onProgress?: (iteration: number, most: number) => void;
  signal?: AbortSignal;
}

/** Rows of attention of both models, kept on the device: the targets and the sources of a fit. */
export class MixtureFit {
  private readonly samples: Sample[] = [];
  private readonly stride: number;
  private offered = 0;
  private rows = 0;
  /** The running average of the targets' rows so far, [T,1,capacity]. */
  private average: tf.Tensor3D | undefined;

  /**
   * @param rows how many rows will be offered at most, of at most `keys` keys each
   * @param withOwn whether targets may be combined from their own attention before, too
   */
  constructor(
    private readonly draft: LlamaConfig,
    private readonly verifier: LlamaConfig,
    rows: number,
    keys: number,
    private readonly withOwn = true,
  ) {
    const sources = (withOwn ? 2 : 1) * this.targets + this.sources;
    this.stride = Math.ceil((rows * keys * 4 * sources) / SAMPLE_BYTES);
  }

  /** The layers, then all their key/value heads. */
  private get targets(): number {
    return this.verifier.numHiddenLayers * (1 + this.verifier.numKeyValueHeads);
  }
  private get sources(): number {
    return this.draft.numHiddenLayers * this.draft.numAttentionHeads;
  }

  /** The rows to come do not follow those before: own attention begins anew. */
  begin(): void {
    this.average?.dispose();
    this.average = undefined;
  }

  /**
   * Offers rows of attention, of which every `stride`-th is kept: a tensor [heads, rows, capacity] for each layer of each model.
   * @param keys how many of the capacity's keys the last row sees
   */
  add(ofVerifier: tf.Tensor3D[], ofDraft: tf.Tensor3D[], keys: number): void {
    const [, rows, capacity] = ofDraft[0].shape;
    const first = (this.stride - (this.offered % this.stride)) % this.stride;
    this.offered += rows;
    const {sample, average} = tf.tidy(() => {
      const groups = ofVerifier.map((layer): tf.Tensor3D => {
        const byGroup = tf.reshape(layer, [this.verifier.numKeyValueHeads, -1, rows, capacity]);
        return tf.mean(byGroup, 1);
      });
      const layers = ofVerifier.map((layer): tf.Tensor3D => tf.mean(layer, 0, true));
      const target = tf.concat([...layers, ...groups], 0);
      const {own, average} = this.withOwn ? this.lookBack(target) : {};
      const sampled = (x: tf.Tensor3D): tf.Tensor3D => {
        const picked = tf.stridedSlice(x, [0, first, 0], [x.shape[0], rows, keys], [1, this.stride, 1]);
        return tf.transpose(picked, [1, 0, 2]) as tf.Tensor3D;
      };
      const sample =
        first < rows
          ? {target: sampled(target), source: sampled(tf.concat(ofDraft, 0)), own: own && sampled(own)}
          : undefined;
      return {sample, average};
    });
    this.average?.dispose();
    this.average = average && tf.keep(average);
    if (!sample) return;
    this.samples.push(sample);
    for (const x of tensorsOf(sample)) tf.keep(x);
    this.rows += sample.target.shape[0];
  }

  /** What each of these rows [T,rows,capacity] looks back at, and the average after them. */
  private lookBack(target: tf.Tensor3D): {own: tf.Tensor3D; average: tf.Tensor3D} {
    const [targets, rows, capacity] = target.shape;
    const before = this.average ?? tf.zeros([targets, 1, capacity]);
    const factors = fading(OWN_ROWS, rows);
    const ofRows = Array.from({length: rows}, (_, i) => factors[i - (i % ROUND_ROWS)]);
    const averages = tf.matMul(
      tf.tensor3d([[...ofRows, factors[rows]]]),
      tf.concat3d([before, target], 1),
    ) as tf.Tensor3D;
    return {
      own: tf.slice(averages, [0, 0, 0], [targets, rows, capacity]),
      average: tf.slice(averages, [0, rows, 0], [targets, 1, capacity]),
    };
  }

  /** The combinations with the least divergence. */
  async fit({onProgress, signal}: FitOptions = {}): Promise<Mixture> {
    const {targets} = this;
    const columns = this.sources + 1;
    let weights: Float32Array = new Float32Array(targets * columns).fill(1 / columns);
    let done = 0;
    const converge = async () => {
      for (let change = Infinity; change > LEAST_CHANGE && done < MOST_ITERATIONS; done++) {
        await yieldToEventLoop(signal);
        const next = this.sum([targets, columns], weights, responsibilities);
        normalise(next, columns);
        change = next.reduce((most, weight, i) => Math.max(most, Math.abs(weight - weights[i])), 0);
        weights = next;
        onProgress?.(done + 1, MOST_ITERATIONS);
      }
    };
    await converge();
    // Without the small ones the others take up what they gave.
    weights = weights.map((weight) => (weight < LEAST_WEIGHT ? 0 : weight));
    normalise(weights, columns);
    done = Math.min(done, MOST_ITERATIONS - 20);
    await converge();
    onProgress?.(MOST_ITERATIONS, MOST_ITERATIONS);

    const {numHiddenLayers: layers, numKeyValueHeads: groups} = this.verifier;
    const combinations = Array.from({length: targets}, (_, t) =>
      this.combination(weights.subarray(t * columns, (t + 1) * columns)),
    );
    const divergence = this.sum([targets], weights, divergenceOf);
    return {
      layers: combinations.slice(0, layers),
      groups: Array.from({length: layers}, (_, j) =>
        combinations.slice(layers + j * groups, layers + (j + 1) * groups),
      ),
      ownRows: OWN_ROWS,
      kl: Array.from(divergence.subarray(0, layers), (sum) => round(sum / this.rows, 6)),
    };
  }

  /** What `of` gives for each block, summed in float64. */
  private sum(
    shape: number[],
    weights: Float32Array,
    of: (sample: Sample, weights: tf.Tensor2D) => tf.Tensor,
  ): Float32Array {
    const sums = new Float64Array(tf.util.sizeFromShape(shape));
    tf.tidy(() => {
      const $weights = tf.tensor2d(weights, [this.targets, this.sources + 1]);
      for (const sample of this.samples) {
        const part = of(sample, $weights).dataSync();
        for (let i = 0; i < sums.length; i++) sums[i] += part[i];
      }
    });
    return Float32Array.from(sums);
  }

  private combination(weights: Float32Array): Combination {
    const {numAttentionHeads} = this.draft;
    const rounded = Array.from(weights, (weight) => round(weight, DECIMALS));
    const own = rounded.pop()!;
    const heads = rounded.map((weight, i): WeightedHead => [
      Math.floor(i / numAttentionHeads),
      i % numAttentionHeads,
      weight,
    ]);
    return {heads: heads.filter(([, , weight]) => weight > 0).sort(([, , a], [, , b]) => b - a), own};
  }

  dispose(): void {
    tf.dispose(this.samples.flatMap(tensorsOf));
    this.samples.length = 0;
    this.begin();
  }
}

function tensorsOf({target, source, own}: Sample): tf.Tensor[] {
  return own ? [target, source, own] : [target, source];
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

/**
 * The fit of a mixture map: each verifier layer's attention, and that of each of its KV heads, as a convex combination
 * of the attention of the draft's heads and of the attention history.
 */
import * as tf from '@tensorflow/tfjs-core';

import type {LlamaConfig} from '../../models/hf/config.js';
import type {Combination, Mixture, WeightedHead} from '../../models/layer_map.js';
import {decayFactors} from '../selection/attention_history.js';
import {yieldToEventLoop} from '../decoding/yield_to_event_loop.js';
import {divergenceOf, responsibilities, type Sample} from './mixture_steps.js';

/** Bytes of attention rows that are kept for the fit. Of longer texts an even sample of rows is kept. */
const SAMPLE_BYTES = 1 << 29;
/**
 * Smaller weights are left out: all of them together change little, and each head costs a row of attention in every
 * step.
 */
const LEAST_WEIGHT = 0.01;
/** The fit has converged when no weight changes by more. */
const LEAST_CHANGE = 2e-4;
const MOST_ITERATIONS = 200;
/** Iterations reserved for the second fit, without the small weights. */
const REFIT_ITERATIONS = 20;
/** Decimals of the weights in a map. */
const DECIMALS = 4;
/**
 * Rows that the attention history averages over: of 4, 8, 16 and 32 the one with the least divergence on the embedded
 * pair.
 */
const HISTORY_ROWS = 8;
/** Rows of a round. All of them read the attention history as it was before the round. */
const ROUND_ROWS = 5;
export interface FitOptions {
  onProgress?: (iteration: number, most: number) => void;
  signal?: AbortSignal;
}

/**
 * Collects rows of attention of both models on the device, then fits the mixture to them. The targets are the layers,
 * then all KV heads.
 */
export class MixtureFit {
  private readonly samples: Sample[] = [];
  /** Every `stride`-th row is kept. */
  private readonly stride: number;
  private offered = 0;
  private kept = 0;
  /** The attention history after the rows so far, [T,1,capacity]; undefined at a window's beginning. */
  private history: tf.Tensor3D | undefined;

  /**
   * @param rows how many rows will be offered at most
   * @param keys how many keys a row has at most
   * @param withHistory whether targets may be combined from their attention history, too
   */
  constructor(
    private readonly draft: LlamaConfig,
    private readonly verifier: LlamaConfig,
    rows: number,
    keys: number,
    private readonly withHistory = true,
  ) {
    const held = (withHistory ? 2 : 1) * this.targets + this.sources;
    this.stride = Math.ceil((rows * keys * 4 * held) / SAMPLE_BYTES);
  }

  private get targets(): number {
    return this.verifier.numHiddenLayers * (1 + this.verifier.numKeyValueHeads);
  }
  private get sources(): number {
    return this.draft.numHiddenLayers * this.draft.numAttentionHeads;
  }

  /** The next rows begin a new window: the attention history is empty. */
  beginWindow(): void {
    this.history?.dispose();
    this.history = undefined;
  }

  /**
   * Offers rows of attention that follow those before.
   * @param verifierLayers float32 [heads, rows, capacity] for each layer
   * @param draftLayers float32 [heads, rows, capacity] for each layer
   * @param keys how many of the capacity's keys the last row sees
   */
  add(verifierLayers: tf.Tensor3D[], draftLayers: tf.Tensor3D[], keys: number): void {
    const [, rows, capacity] = draftLayers[0].shape;
    const first = (this.stride - (this.offered % this.stride)) % this.stride;
    this.offered += rows;
    const {sample, after} = tf.tidy(() => {
      const layers = verifierLayers.map((layer): tf.Tensor3D => tf.mean(layer, 0, true));
      const kvHeads = verifierLayers.map((layer): tf.Tensor3D => {
        const byKvHead = tf.reshape(layer, [this.verifier.numKeyValueHeads, -1, rows, capacity]);
        return tf.mean(byKvHead, 1);
      });
      const target = tf.concat([...layers, ...kvHeads], 0);
      const {history, after} = this.withHistory ? this.historyOf(target) : {};
      const sampled = (x: tf.Tensor3D): tf.Tensor3D => {
        const picked = tf.stridedSlice(x, [0, first, 0], [x.shape[0], rows, keys], [1, this.stride, 1]);
        return tf.transpose(picked, [1, 0, 2]) as tf.Tensor3D;
      };
      const sample =
        first < rows
          ? {
              target: sampled(target),
              source: sampled(tf.concat(draftLayers, 0)),
              history: history && sampled(history),
            }
          : undefined;
      return {sample, after};
    });
    this.history?.dispose();
    this.history = after && tf.keep(after);
    if (!sample) return;
    this.samples.push(sample);
    for (const x of tensorsOf(sample)) tf.keep(x);
    this.kept += sample.target.shape[0];
  }

  /**
   * The attention history of rows.
   * @param target [T,rows,capacity]
   * @returns `history` [T,rows,capacity], which each row reads, and `after` [T,1,capacity], the history after the last row
   */
  private historyOf(target: tf.Tensor3D): {history: tf.Tensor3D; after: tf.Tensor3D} {
    const [targets, rows, capacity] = target.shape;
    const before = this.history ?? tf.zeros([targets, 1, capacity]);
    const decay = decayFactors(HISTORY_ROWS, rows);
    const ofRows = Array.from({length: rows}, (_, i) => decay[i - (i % ROUND_ROWS)]);
    const averages = tf.matMul(
      tf.tensor3d([[...ofRows, decay[rows]]]),
      tf.concat3d([before, target], 1),
    ) as tf.Tensor3D;
    return {
      history: tf.slice(averages, [0, 0, 0], [targets, rows, capacity]),
      after: tf.slice(averages, [0, rows, 0], [targets, 1, capacity]),
    };
  }

  /**
   * The combinations with the least mean divergence from the targets.
   * @throws Error when the signal fires
   */
  async fit(options: FitOptions = {}): Promise<Mixture> {
    const {targets} = this;
    const columns = this.sources + 1;
    const even: Float32Array = new Float32Array(targets * columns).fill(1 / columns);
    const first = await this.converge(even, 0, options);
    // A second fit without the small weights shares out what they held.
    const large = first.weights.map((weight) => (weight < LEAST_WEIGHT ? 0 : weight));
    normalise(large, columns);
    const from = Math.min(first.iterations, MOST_ITERATIONS - REFIT_ITERATIONS);
    const {weights} = await this.converge(large, from, options);
    options.onProgress?.(MOST_ITERATIONS, MOST_ITERATIONS);
    return this.mixtureOf(weights);
  }

  /**
   * Iterates until the weights have converged.
   * @param weights [T,S + 1], the weight of the history last
   * @param iterations how many were done before
   */
  private async converge(
    weights: Float32Array,
    iterations: number,
    {onProgress, signal}: FitOptions,
  ): Promise<{weights: Float32Array; iterations: number}> {
    const columns = this.sources + 1;
    for (let change = Infinity; change > LEAST_CHANGE && iterations < MOST_ITERATIONS; iterations++) {
      await yieldToEventLoop(signal);
      const next = this.sumOverSamples([this.targets, columns], weights, responsibilities);
      normalise(next, columns);
      change = next.reduce((most, weight, i) => Math.max(most, Math.abs(weight - weights[i])), 0);
      weights = next;
      onProgress?.(iterations + 1, MOST_ITERATIONS);
    }
    return {weights, iterations};
  }

  /** Sums `of` over all samples in float64. */
  private sumOverSamples(
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

  /** Weights [T,S + 1] in the form of a layer map. */
  private mixtureOf(weights: Float32Array): Mixture {
    const {numHiddenLayers: layers, numKeyValueHeads: kvHeads} = this.verifier;
    const columns = this.sources + 1;
    const combinations = Array.from({length: this.targets}, (_, t) =>
      this.combinationOf(weights.subarray(t * columns, (t + 1) * columns)),
    );
    const divergence = this.sumOverSamples([this.targets], weights, divergenceOf);
    return {
      layers: combinations.slice(0, layers),
      groups: Array.from({length: layers}, (_, layer) =>
        combinations.slice(layers + layer * kvHeads, layers + (layer + 1) * kvHeads),
      ),
      ownRows: HISTORY_ROWS,
      kl: Array.from(divergence.subarray(0, layers), (sum) => round(sum / this.kept, 6)),
    };
  }

  private combinationOf(weights: Float32Array): Combination {
    const {numAttentionHeads} = this.draft;
    const rounded = Array.from(weights, (weight) => round(weight, DECIMALS));
    const history = rounded.pop()!;
    const heads = rounded.map((weight, i): WeightedHead => [
      Math.floor(i / numAttentionHeads),
      i % numAttentionHeads,
      weight,
    ]);
    return {
      heads: heads.filter(([, , weight]) => weight > 0).sort(([, , a], [, , b]) => b - a),
      own: history,
    };
  }

  dispose(): void {
    tf.dispose(this.samples.flatMap(tensorsOf));
    this.samples.length = 0;
    this.beginWindow();
  }
}

function tensorsOf({target, source, history}: Sample): tf.Tensor[] {
  return history ? [target, source, history] : [target, source];
}

/** Scales each row of `columns` weights to a sum of 1, in place. */
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

/** The context of a GPU bench: problem sizes, the timer, the report, models of random weights, and tensors made on the device. */
import * as tf from '@tensorflow/tfjs-core';

import type {LlamaConfig} from '../../models/hf/config.js';
import {Llama} from '../../models/llama/llama.js';
import {makeRandom, type FloatStorage} from '../../models/llama/weights.js';
import type {SpecAttnBackend} from '../../backend/index.js';
import type {Report} from './report.js';
import {Timer} from './timer.js';

/** Problem sizes of the sections. Each section measures every size in its list. */
export interface Sizes {
  /** Size of the buffer that the section `bandwidth` reads. */
  bandwidthBytes: number;
  /** Keys in a row of attention weights. */
  maskKeys: number[];
  /** Keys in the cache of one attention layer. */
  attentionKeys: number[];
  /** Context lengths of a step. */
  stepKeys: number[];
  /** Context lengths of a round. */
  roundKeys: number[];
  /** Prompt lengths. */
  prefillTokens: number[];
  /** See {@link TimerOptions}. */
  flushBytes: number;
  /** See {@link TimerOptions}. */
  coverBytes: number;
  /** Length in characters of the prompt that the embedded pair continues in the reference check. */
  refcheckText: number;
}

/** Sizes for a data-centre GPU. */
export const SIZES: Sizes = {
  bandwidthBytes: 2 ** 30,
  maskKeys: [512, 2048, 8192, 32768, 131072],
  attentionKeys: [2048, 8192, 32768, 131072],
  stepKeys: [2048, 8192, 32768],
  roundKeys: [2048, 4096, 8192, 16384, 32768],
  prefillTokens: [2048, 8192],
  flushBytes: 2 ** 28,
  coverBytes: 2 ** 27,
  refcheckText: 3000,
};

/** Sizes for `--small`, which tests on any device that the bench runs. Times at these sizes mean nothing. */
export const SMALL: Sizes = {
  bandwidthBytes: 2 ** 20,
  maskKeys: [64, 512],
  attentionKeys: [128],
  stepKeys: [64],
  roundKeys: [64, 128],
  prefillTokens: [300],
  flushBytes: 2 ** 16,
  coverBytes: 2 ** 14,
  refcheckText: 200,
};

/** Uniform numbers in [-UNIT, UNIT) have a standard deviation of 1. */
export const UNIT = Math.sqrt(3);
/** Bytes of one cache element (bfloat16). */
export const HALF = 2;
/** Number of tokens that the draft proposes in a round. */
export const GAMMA = 4;
/** Number of rows that the verifier checks in a round. */
export const BLOCK = GAMMA + 1;

/** A model's shape and the name that it has in row ids. */
export interface NamedConfig {
  name: string;
  config: LlamaConfig;
}

/** Shared by all sections. Owns the timer's buffer and the models until `dispose()`. */
export class Bench {
  readonly timer: Timer;
  private readonly models = new Map<string, Llama>();
  private seed = 1;

  constructor(
    readonly backend: SpecAttnBackend,
    readonly report: Report,
    readonly sizes: Sizes,
    runs: number,
    /** The verifier, optionally followed by its draft. */
    readonly configs: NamedConfig[],
  ) {
    this.timer = new Timer(backend, {...sizes, runs});
  }

  /** The model of random weights for this config. It is made at the first call and owned by this object. */
  model({name, config}: NamedConfig): Llama {
    let model = this.models.get(name);
    if (!model) {
      model = Llama.random(config);
      this.models.set(name, model);
    }
    return model;
  }

  /** Uniform random numbers in [-scale, scale), by default of standard deviation 1. The caller disposes of the tensor. */
  random<T extends tf.Tensor>(shape: number[], storage: FloatStorage = 'float32', scale = UNIT): T {
    return makeRandom(shape, storage, this.seed++, scale) as T;
  }

  /** Attention weights [rows, keys] with most of their mass on a small part of the keys: the softmax of scores in [-6, 6). */
  softmaxRows(rows: number, keys: number): tf.Tensor2D {
    const scores = this.random<tf.Tensor2D>([rows, keys], 'float32', 6);
    const weights = tf.softmax(scores);
    scores.dispose();
    return weights;
  }

  /** Makes as many inputs of `bytes` each as a timing rotates over ({@link Timer.copies}). */
  copies<T>(bytes: number, make: () => T): T[] {
    return Array.from({length: this.timer.copies(bytes)}, make);
  }

  /** Caches of `model` in which every one of the `capacity` positions holds random keys and values. */
  filledCache(model: Llama, capacity: number): tf.Tensor3D[] {
    const cache = model.newCache(capacity);
    for (const tensor of cache) this.backend.launch('Random', [], [tensor], [this.seed++, UNIT]);
    return cache;
  }

  /** Returns memory that no tensor uses from the allocator to the device, so that one section does not limit the next. */
  trim(): void {
    this.backend.synchronize();
    this.backend.device.trim();
  }

  disposeModels(): void {
    this.models.forEach((model) => model.dispose());
    this.models.clear();
    this.trim();
  }

  dispose(): void {
    this.timer.dispose();
    this.disposeModels();
  }
}

/** int32 [1]: a position, as the ops take it. */
export const position = (at: number): tf.Tensor1D => tf.tensor1d([at], 'int32');

/**
 * Bytes of the weights that one step reads. An embedding counts only where it is also the head (tied): of a separate
 * embedding a step reads one row per token.
 */
export function weightBytes(model: Llama): number {
  const {tieWordEmbeddings, vocabSize, hiddenSize} = model.config;
  return model.numBytes - (tieWordEmbeddings ? 0 : vocabSize * hiddenSize * model.cacheBytesPerElement);
}

/** Bytes of the keys and values of one layer at `keys` positions. */
export function layerKeyBytes({config, cacheBytesPerElement}: Llama, keys: number): number {
  return 2 * config.numKeyValueHeads * config.headDim * keys * cacheBytesPerElement;
}

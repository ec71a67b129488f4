/** What every section works with: sizes, the timer, the report, the models, and tensors made on the device. */
import * as tf from '@tensorflow/tfjs-core';

import type {LlamaConfig} from '../../models/hf/config.js';
import {Llama} from '../../models/llama/llama.js';
import {makeRandom, type FloatStorage} from '../../models/llama/weights.js';
import type {SpecAttnBackend} from '../../backend/index.js';
import type {Report} from './report.js';
import {Timer} from './timer.js';

export interface Sizes {
  bandwidthBytes: number;
  maskKeys: number[];
  attentionKeys: number[];
  /** Contexts of a step. */
  stepKeys: number[];
  roundKeys: number[];
  prefillTokens: number[];
  flushBytes: number;
  coverBytes: number;
  /** Characters of the prompt that the embedded pair continues in the refcheck. */
  refcheckText: number;
}

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

/** `--small`: shows that the bench runs, on any device; the times mean nothing. */
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

/** Uniform numbers have a standard deviation of 1 over this range. */
export const UNIT = Math.sqrt(3);
/** Bytes of a cache's element. */
export const HALF = 2;
/** Drafted tokens of a round, and the rows that its verification has. */
export const GAMMA = 4;
export const BLOCK = GAMMA + 1;

export interface NamedConfig {
  name: string;
  config: LlamaConfig;
}

export class Bench {
  readonly timer: Timer;
  private readonly models = new Map<string, Llama>();
  private seed = 1;

  constructor(
    readonly backend: SpecAttnBackend,
    readonly report: Report,
    readonly sizes: Sizes,
    runs: number,
    /** The larger model first: the verifier; then its draft, if there is one. */
    readonly configs: NamedConfig[],
  ) {
    this.timer = new Timer(backend, {...sizes, runs});
  }

  /** A model of random weights, made once. */
  model({name, config}: NamedConfig): Llama {
    let model = this.models.get(name);
    if (!model) {
      model = Llama.random(config);
      this.models.set(name, model);
    }
    return model;
  }

  /** Random numbers of standard deviation 1 (or `scale` / UNIT), the caller's to dispose of. */
  random<T extends tf.Tensor>(shape: number[], storage: FloatStorage = 'float32', scale = UNIT): T {
    return makeRandom(shape, storage, this.seed++, scale) as T;
  }

  /** Rows of weights as softmax leaves them: most of the mass on a small part of the keys. */
  softmaxRows(rows: number, keys: number): tf.Tensor2D {
    const scores = this.random<tf.Tensor2D>([rows, keys], 'float32', 6);
    const weights = tf.softmax(scores);
    scores.dispose();
    return weights;
  }

  /** `count` different tensors, or lists of them. */
  copies<T>(bytes: number, make: () => T): T[] {
    return Array.from({length: this.timer.copies(bytes)}, make);
  }

  /** A model's caches with `keys` random keys. */
  filledCache(model: Llama, capacity: number): tf.Tensor3D[] {
    const cache = model.newCache(capacity);
    for (const tensor of cache) this.backend.launch('Random', [], [tensor], [this.seed++, UNIT]);
    return cache;
  }

  /** Between sections: memory that no tensor holds goes back to the device. */
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

export const position = (at: number): tf.Tensor1D => tf.tensor1d([at], 'int32');

/** Bytes of the weights that one forward reads: all but the embedding, of which it reads a row a token. */
export function weightBytes(model: Llama): number {
  const {tieWordEmbeddings, vocabSize, hiddenSize} = model.config;
  return model.numBytes - (tieWordEmbeddings ? 0 : vocabSize * hiddenSize * model.cacheBytesPerElement);
}

/** Bytes of `keys` keys and values of one layer. */
export function layerKeyBytes({config, cacheBytesPerElement}: Llama, keys: number): number {
  return 2 * config.numKeyValueHeads * config.headDim * keys * cacheBytesPerElement;
}

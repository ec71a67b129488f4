/** A Llama with the weights of a Hugging Face folder or with random ones, run as a TF.js GraphModel. */
import * as tf from '@tensorflow/tfjs-core';

import {nativeBackend} from '../../backend/current.js';
import {readConfig, type LlamaConfig} from '../hf/config.js';
import {checkInput, execute, graphOptions, type LlamaInput, type LlamaResult} from './forward.js';
import {cacheNames, type CacheNames} from './graph.js';
import {GraphVariants} from './graph_variants.js';
import {hasLongContext} from './rope.js';
import {loadWeights, randomWeights, type LlamaLoadOptions, type LlamaWeights} from './load_weights.js';
import {makeZeros, storedBytes, type FloatStorage} from './weights.js';

export type {AttentionOf, LlamaInput, LlamaOutput, LlamaResult} from './forward.js';
export type {LlamaLoadOptions} from './load_weights.js';

/**
 * A Llama whose weights are on the current backend. The caller owns the caches, so one model serves many sequences.
 *
 * ```ts
 * const llama = await Llama.load('models/pretrained/draft');
 * const {lastLogits} = llama.forward({
 *   tokens: tf.tensor1d([0, 41], 'int32'),
 *   position: tf.tensor1d([0], 'int32'),
 *   cache: llama.newCache(64),
 *   outputs: ['lastLogits'],
 * });
 * ```
 */
export class Llama {
  private readonly graphs: GraphVariants;
  private readonly caches: CacheNames;
  /** Weights and the graphs' constants by name; empty after `dispose`. */
  private readonly tensors: Map<string, tf.Tensor>;
  private readonly cacheStorage: FloatStorage;
  /** Name of the TF.js backend that holds the weights. */
  readonly backend = tf.getBackend();
  /** Bytes that the weights take. */
  readonly numBytes: number;

  readonly config: LlamaConfig;

  private constructor({config, tensors, cacheStorage, numBytes}: LlamaWeights) {
    this.config = config;
    this.tensors = tensors;
    this.cacheStorage = cacheStorage;
    this.numBytes = numBytes;
    this.caches = cacheNames(config);
    this.graphs = new GraphVariants(config, tensors);
    try {
      // The first graph copies its constants to the device, which must not happen while a call is captured.
      this.graphs.get({});
      if (hasLongContext(config, Infinity)) this.graphs.get({longContext: true});
    } catch (error) {
      this.dispose();
      throw error;
    }
  }

  /**
   * Loads config.json and the safetensors of a Hugging Face folder.
   * @throws Error naming the file, the field or tensor, what was expected and what came; nothing stays allocated or open
   */
  static async load(dir: string, options: LlamaLoadOptions = {}): Promise<Llama> {
    return new Llama(await loadWeights(dir, readConfig(dir), options));
  }

  /**
   * A model of random weights, for timings and tests. A seed gives the same weights on every native device.
   * @param config the model's sizes
   * @param options
   * @param options.seed a whole number from 0 to 2^32 - 1; 0 by default
   * @param options.dtype how matrices and caches are stored, bfloat16 by default; backends that store float32 only
   *     widen them
   */
  static random(
    config: LlamaConfig,
    {seed = 0, dtype = 'bfloat16'}: {seed?: number; dtype?: FloatStorage} = {},
  ): Llama {
    return new Llama(randomWeights(config, seed, dtype));
  }

  /**
   * Empty caches [G,capacity,D]: keys of layer 0, values of layer 0, keys of layer 1, ... The caller disposes of them.
   * @throws Error where `capacity` is no whole number of 1 or more, the model is not usable, or memory does not suffice
   */
  newCache(capacity: number): tf.Tensor3D[] {
    this.assertUsable('Llama');
    if (!Number.isSafeInteger(capacity) || capacity < 1)
      throw new Error(`[Llama] capacity must be a whole number >= 1 but is ${capacity}`);
    const shape: [number, number, number] = [this.config.numKeyValueHeads, capacity, this.config.headDim];
    const made: tf.Tensor3D[] = [];
    try {
      for (const _ of this.caches.inputs) made.push(makeZeros(shape, this.cacheStorage));
    } catch (error) {
      tf.dispose(made);
      throw error;
    }
    return made;
  }

  get disposed(): boolean {
    return this.tensors.size === 0;
  }

  /**
   * Checks that the model can run. On another backend TF.js would move the weights there, widened to float32, and
   * captures would lose them.
   * @param caller name that begins the error's message
   * @throws Error where the model was disposed of or another backend is the current one
   */
  assertUsable(caller: string): void {
    if (this.disposed) throw new Error(`[${caller}] the model was disposed of`);
    if (tf.getBackend() !== this.backend)
      throw new Error(
        `[${caller}] the backend must be '${this.backend}', which the model was loaded on, but is '${tf.getBackend()}'`,
      );
  }

  /** Bytes that one number takes in the caches. */
  get cacheBytesPerElement(): number {
    return storedBytes(1, this.cacheStorage);
  }

  /**
   * Rows of a prompt that a caller should pass to one `forward`, by the current device: enough to keep its matrix
   * products busy, few enough to bound their memory.
   */
  get prefillRows(): number {
    return nativeBackend()?.device.name === 'cuda' ? 2048 : 256;
  }

  /**
   * Runs T rows. Only the caches and what `outputs` name are computed.
   * @throws Error where the model is not usable or an input does not fit
   */
  forward(input: LlamaInput): LlamaResult {
    this.assertUsable('Llama');
    checkInput(input, this.caches.inputs.length);
    const longContext = hasLongContext(this.config, input.cache[0].shape[1]);
    const options = {...graphOptions(input), ...(longContext && {longContext})};
    return execute(this.graphs.get(options), input, this.caches);
  }

  /** Frees the weights. Caches belong to their callers. */
  dispose(): void {
    tf.dispose([...this.tensors.values()]);
    this.tensors.clear();
    this.graphs.clear();
  }
}

/** A Llama's weights as tensors on the current backend: read from safetensors, or random. */
import {setImmediate} from 'node:timers/promises';
import * as tf from '@tensorflow/tfjs-core';

import type {LlamaConfig} from '../hf/config.js';
import {Safetensors} from '../hf/safetensors.js';
import {parameters, readParameters, settleHead} from './parameters.js';
import {makeRandom, makeWeight, storageOf, storedBytes, type FloatStorage} from './weights.js';

export interface LlamaLoadOptions {
  /**
   * How matrices are stored; `auto`, the default, keeps the file's type, but float64 becomes float32. Backends that store float32 only widen them.
   * Norms and biases are always float32. Caches are stored like the embedding matrix.
   */
  dtype?: 'auto' | FloatStorage;
  /** Called after each weight with the bytes of the file's weights read so far, and in all. */
  onProgress?: (progress: {loaded: number; total: number}) => void;
}

export interface LlamaWeights {
  /** The configuration, with a head of its own where the weights have one. */
  config: LlamaConfig;
  /** Kept tensors by the names of `parameters(config)`. */
  tensors: Map<string, tf.Tensor>;
  /** How caches are stored. */
  cacheStorage: FloatStorage;
  /** Bytes that the tensors take. */
  numBytes: number;
}

/**
 * Reads the weights of a Hugging Face folder.
 * @throws Error naming the file or tensor, what was expected and what came; nothing stays allocated or open
 */
export async function loadWeights(
  dir: string,
  claimed: LlamaConfig,
  {dtype = 'auto', onProgress}: LlamaLoadOptions,
): Promise<LlamaWeights> {
  const file = await Safetensors.open(dir);
  const tensors = new Map<string, tf.Tensor>();
  try {
    const config = settleHead(file, claimed);
    let cacheStorage: FloatStorage | undefined;
    let numBytes = 0;
    const backend = tf.getBackend();
    for (const {name, shape, parts, loaded, total} of readParameters(file, dir, config)) {
      if (tf.getBackend() !== backend)
        throw new Error(
          `[Llama] the backend must stay '${backend}' while ${dir} is loaded, but is '${tf.getBackend()}' now`,
        );
      const storage = dtype === 'auto' ? storageOf(parts[0]) : dtype;
      cacheStorage ??= storage; // the embedding matrix is the first parameter
      const stored = shape.length === 1 ? 'float32' : storage;
      tensors.set(name, makeWeight(parts, shape, stored));
      numBytes += storedBytes(tf.util.sizeFromShape(shape), stored);
      onProgress?.({loaded, total});
      await setImmediate(); // reading is synchronous; timers and terminals run here
    }
    return {config, tensors, cacheStorage: cacheStorage!, numBytes};
  } catch (error) {
    tf.dispose([...tensors.values()]);
    throw error;
  } finally {
    await file.close();
  }
}

/**
 * Random weights: norms are 1, biases are 0, and a matrix [N,K] is uniform with variance 1/K, so that its products
 * with normed rows have variance 1. A seed gives the same weights on every native device.
 */
export function randomWeights(config: LlamaConfig, seed: number, dtype: FloatStorage): LlamaWeights {
  const tensors = new Map<string, tf.Tensor>();
  let numBytes = 0;
  try {
    for (const [i, {name, shape}] of parameters(config).entries()) {
      const isMatrix = shape.length > 1;
      const weight = isMatrix
        ? makeRandom(shape, dtype, (seed + i) % 2 ** 32, Math.sqrt(3 / shape[1]))
        : tf.keep(tf.fill(shape, name.endsWith('.bias') ? 0 : 1));
      tensors.set(name, weight);
      numBytes += storedBytes(tf.util.sizeFromShape(shape), isMatrix ? dtype : 'float32');
    }
    return {config, tensors, cacheStorage: dtype, numBytes};
  } catch (error) {
    tf.dispose([...tensors.values()]);
    throw error;
  }
}

/** A Llama from a Hugging Face folder, run as a TF.js GraphModel. */
import {setImmediate} from 'node:timers/promises';
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-cpu';
import {loadGraphModelSync, type GraphModel} from '@tensorflow/tfjs-converter';

import '../../ops/index.js'; // registers the graph's ops
import {readConfig, type LlamaConfig} from '../hf/config.js';
import {
  buildLlamaGraph,
  cacheNames,
  headsName,
  type GraphConstant,
  type GraphOptions,
  type Selector,
} from './graph.js';
import {parameters, readParameters} from './parameters.js';
import {Safetensors} from '../hf/safetensors.js';
import {makeRandom, makeWeight, makeZeros, storedBytes, type FloatStorage} from './weights.js';

export interface LlamaLoadOptions {
  /**
   * How matrices are stored: `auto`, the default, as in the file. Backends that store float32 only widen. Norms and biases are
   * always float32. Caches are float32 with float32 weights, float16 with float16 ones, else bfloat16.
   */
  dtype?: 'auto' | FloatStorage;
  /** Bytes of the file's weights read so far, and in all. */
  onProgress?: (progress: {loaded: number; total: number}) => void;
}

const OUTPUTS = ['logits', 'lastLogits', 'attention', 'attentionRows', 'setWeights'] as const;
export type LlamaOutput = (typeof OUTPUTS)[number];

/** Whose attention weights: layers' (the mean over their heads) or heads', of these layers in this order. */
export interface AttentionOf {
  granularity: 'layer' | 'head';
  layers: number[];
  /** With `head`, which heads of each of `layers`, int32 [R], from 0 to H - 1; all of them without it. */
  heads?: tf.Tensor1D[];
}

export interface LlamaInput {
  /** int32 [T] */
  tokens: tf.Tensor1D;
  /** int32 [1]: of tokens[0] */
  position: tf.Tensor1D;
  /** From `newCache` or an earlier call. Donated: use the result's instead. */
  cache: tf.Tensor3D[];
  /** What to compute besides the caches. Of `attention` all T rows are held, of every layer, until the last one is cut out: ask for few. */
  outputs: LlamaOutput[];
  /** For the outputs `attention` and `attentionRows`: whose, and in which order. */
  attention?: AttentionOf;
  /** What NucleusSelect gave; each layer's first set, or -1 for dense; and sets a layer. */
  selection?: {
    keys: tf.Tensor2D;
    bits: tf.Tensor2D;
    counts: tf.Tensor1D;
    sets: number[];
    setsPerLayer: number;
  };
  /** In place of `selection`: sparse layers select keys as they go, by an op of their own queries and keys. */
  select?: {selector: Selector; sets: number[]; setsPerLayer: number};
}

export interface LlamaResult {
  /** [T,V] */
  logits?: tf.Tensor2D;
  /** [1,V]: of the last row */
  lastLogits?: tf.Tensor2D;
  /** [R,C]: the last row's weights of R layers, or R heads of them. */
  attention?: tf.Tensor2D;
  /** A layer of `attention.layers` each: [T,C], or [R,T,C] of R heads. */
  attentionRows?: tf.Tensor[];
  /** [S,T,C]: of each set of `selection` the weights of the keys in it, the mean over the heads that read it. */
  setWeights?: tf.Tensor3D;
  /** With `select`, of each sparse layer in order: keys listed [S] and keys that each row sees [S,T]. */
  selected?: {counts: tf.Tensor1D; kept: tf.Tensor2D}[];
  cache: tf.Tensor3D[];
}

const GRAPH_OUTPUTS = {
  logits: 'logits',
  lastLogits: 'last_logits',
  attention: 'attention',
  setWeights: 'set_weights',
} as const;

/**
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
  /** Graphs by their options; they share `weights`. */
  private readonly graphs = new Map<string, GraphModel<tf.io.IOHandlerSync>>();
  private readonly caches: {inputs: string[]; outputs: string[]};
  /** The TF.js backend that the weights are on. */
  readonly backend = tf.getBackend();

  private constructor(
    readonly config: LlamaConfig,
    private readonly weights: Map<string, tf.Tensor>,
    private readonly cacheStorage: FloatStorage,
    /** Bytes that the weights take. */
    readonly numBytes: number,
  ) {
    this.caches = cacheNames(config);
  }

  /**
   * Loads config.json and the safetensors of a Hugging Face folder.
   * @throws Error naming the file, the field or tensor, what was expected and what came; nothing stays allocated or open
   */
  static async load(dir: string, {dtype = 'auto', onProgress}: LlamaLoadOptions = {}): Promise<Llama> {
    const config = readConfig(dir);
    const file = await Safetensors.open(dir);
    const weights = new Map<string, tf.Tensor>();
    try {
      let cacheStorage: FloatStorage | undefined;
      let numBytes = 0;
      const backend = tf.getBackend();
      for (const {name, shape, parts, loaded, total} of readParameters(file, dir, config)) {
        if (tf.getBackend() !== backend)
          throw new Error(
            `[Llama] the backend must stay '${backend}' while ${dir} is loaded, but is '${tf.getBackend()}' now`,
          );
        const storage = dtype === 'auto' ? parts[0].storage : dtype;
        cacheStorage ??= storage; // as the embedding matrix, which comes first
        const stored = shape.length === 1 ? 'float32' : storage;
        weights.set(name, makeWeight(parts, shape, stored));
        numBytes += storedBytes(tf.util.sizeFromShape(shape), stored);
        onProgress?.({loaded, total});
        await setImmediate(); // reading is synchronous: let timers and terminals have their turn
      }
      const llama = new Llama(config, weights, cacheStorage!, numBytes);
      llama.graph({}); // here and not at the first call, which may be one that is being recorded: constants go to the device
      return llama;
    } catch (error) {
      tf.dispose([...weights.values()]);
      throw error;
    } finally {
      await file.close();
    }
  }

  /**
   * A model of random weights, for timings and tests: the same for a seed on every native device. Norms are 1, biases 0; a matrix's
   * scale gives products of normed rows a variance of 1.
   * @param options.seed a whole number from 0 to 2^32 - 1
   */
  static random(
    config: LlamaConfig,
    {seed = 0, dtype = 'bfloat16'}: {seed?: number; dtype?: FloatStorage} = {},
  ): Llama {
    const weights = new Map<string, tf.Tensor>();
    let numBytes = 0;
    try {
      for (const [i, {name, shape}] of parameters(config).entries()) {
        const matrix = shape.length > 1;
        const weight = matrix
          ? makeRandom(shape, dtype, (seed + i) % 2 ** 32, Math.sqrt(3 / shape[1]))
          : tf.keep(tf.fill(shape, name.endsWith('.bias') ? 0 : 1));
        weights.set(name, weight);
        numBytes += storedBytes(tf.util.sizeFromShape(shape), matrix ? dtype : 'float32');
      }
      const llama = new Llama(config, weights, dtype, numBytes);
      llama.graph({});
      return llama;
    } catch (error) {
      tf.dispose([...weights.values()]);
      throw error;
    }
  }

  /** Empty caches [G,capacity,D]: keys and values of layer 0, of layer 1, ... The caller's to dispose of. */
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
    return this.weights.size === 0;
  }

  /**
   * Another backend would take the weights over, widened, and leave recordings without them.
   * @param caller whose error it is
   * @throws Error where the model was disposed of or another backend is the current one
   */
  assertUsable(caller: string): void {
    if (this.disposed) throw new Error(`[${caller}] the model was disposed of`);
    if (tf.getBackend() !== this.backend)
      throw new Error(
        `[${caller}] the backend must be '${this.backend}', which the model was loaded on, but is '${tf.getBackend()}'`,
      );
  }

  /** Bytes that a key's or a value's number takes in the caches. */
  get cacheBytesPerElement(): number {
    return storedBytes(1, this.cacheStorage);
  }

  /** Runs T rows. Only what `outputs` name, and the caches, is computed. */
  forward({tokens, position, cache, outputs, attention, selection, select}: LlamaInput): LlamaResult {
    this.assertUsable('Llama');
    if (cache.length !== this.caches.inputs.length)
      throw new Error(`[Llama] cache must have ${this.caches.inputs.length} tensors but has ${cache.length}`);
    const unknown = outputs.filter((output) => !OUTPUTS.includes(output));
    if (unknown.length > 0)
      throw new Error(`[Llama] outputs must be of ${OUTPUTS.join(', ')} but one is '${unknown[0]}'`);
    const wantsAttention = outputs.includes('attention') || outputs.includes('attentionRows');
    if (wantsAttention && !attention) throw new Error(`[Llama] the outputs [${outputs}] need attention`);
    const weights = outputs.includes('setWeights');
    if (weights && !selection) throw new Error(`[Llama] the outputs [${outputs}] need a selection`);
    const named = wantsAttention ? attention!.heads : undefined;
    if (named && attention!.granularity !== 'head')
      throw new Error(
        `[Llama] attention's heads can be named by 'head' alone, not by '${attention!.granularity}'`,
      );
    if (named && named.length !== attention!.layers.length)
      throw new Error(
        `[Llama] attention must name heads of ${attention!.layers.length} layers but does of ${named.length}`,
      );
    const graph = this.graph({
      ...(wantsAttention && {
        attention: attention!.granularity,
        attentionLayers: attention!.layers,
        ...(named && {attentionHeads: true}),
      }),
      ...(selection && {sparse: {sets: selection.sets, setsPerLayer: selection.setsPerLayer, weights}}),
      ...(select && {sparse: select}),
    });

    const inputs: tf.NamedTensorMap = {tokens, position};
    this.caches.inputs.forEach((name, i) => (inputs[name] = cache[i]));
    if (selection)
      Object.assign(inputs, {keys: selection.keys, bits: selection.bits, counts: selection.counts});
    if (named) attention!.layers.forEach((layer, i) => (inputs[headsName(layer)] = named[i]));
    const names = [...this.caches.outputs];
    const place = (name: string) => names.push(name) - 1;
    const single = Object.entries(GRAPH_OUTPUTS).filter(([output]) =>
      outputs.includes(output as LlamaOutput),
    );
    const places = single.map(([output, name]) => [output, place(name)] as const);
    const rows = outputs.includes('attentionRows')
      ? attention!.layers.map((layer) => place(`attention_rows_${layer}`))
      : undefined;
    const sparse = select ? [...select.sets.keys()].filter((layer) => select.sets[layer] >= 0) : [];
    const chosen = sparse.map(
      (layer) => [place(`selected_counts_${layer}`), place(`selected_kept_${layer}`)] as const,
    );

    const tensors = graph.execute(inputs, names) as tf.Tensor[];
    return {
      ...Object.fromEntries(places.map(([output, i]) => [output, tensors[i]])),
      ...(rows && {attentionRows: rows.map((i) => tensors[i])}),
      ...(select && {
        selected: chosen.map(([counts, kept]) => ({
          counts: tensors[counts] as tf.Tensor1D,
          kept: tensors[kept] as tf.Tensor2D,
        })),
      }),
      cache: tensors.slice(0, this.caches.outputs.length) as tf.Tensor3D[],
    };
  }

  /** Frees the weights. Caches are their callers'. */
  dispose(): void {
    tf.dispose([...this.weights.values()]);
    this.weights.clear();
    this.graphs.clear();
  }

  private graph(options: GraphOptions): GraphModel<tf.io.IOHandlerSync> {
    const key = JSON.stringify(options);
    let model = this.graphs.get(key);
    if (!model) {
      const {topology, constants} = buildLlamaGraph(this.config, options);
      model = loadGraphModelSync({modelTopology: topology, weightSpecs: [], weightData: new ArrayBuffer(0)});
      for (const [name, constant] of constants) {
        if (!this.weights.has(name)) this.weights.set(name, makeConstant(constant));
      }
      // Given after loading, so that bfloat16 weights need not pass through tfjs-converter, which would widen them.
      for (const {name} of topology.node) {
        const weight = this.weights.get(name);
        if (weight) model.weights[name] = [weight];
      }
      this.graphs.set(key, model);
    }
    return model;
  }
}

/** A verifier and, where there is one, its draft. */
interface Models {
  verifier: Llama;
  draft?: Llama;
}

/** Positions that both models were made for. */
export function longestContext({verifier, draft = verifier}: Models): number {
  return Math.min(verifier.config.maxPositionEmbeddings, draft.config.maxPositionEmbeddings);
}

/** Empty caches, the verifier's, then the draft's; none where there is no memory for all of them. */
export function newCaches({verifier, draft}: Models, capacity: number): tf.Tensor3D[] {
  const made: tf.Tensor3D[] = [];
  try {
    made.push(...verifier.newCache(capacity));
    if (draft) made.push(...draft.newCache(capacity));
  } catch (error) {
    tf.dispose(made);
    throw error;
  }
  return made;
}

/**
 * Shapes and axes are read by tfjs-converter on the host at every use: they live on tfjs-backend-cpu, where reading is free, so that
 * it never waits for the device. Frequencies are for kernels to read.
 */
function makeConstant({dtype, shape, values}: GraphConstant): tf.Tensor {
  if (dtype === 'float32') return tf.keep(tf.tensor(values, shape, dtype));
  return tf.keep(tf.engine().makeTensor(values, shape, dtype, tf.findBackend('cpu')) as tf.Tensor);
}

/**
 * The forward pass of a Llama, and of the other `ARCHITECTURES`, as a TF.js graph of TensorFlow's ops and, where TensorFlow has none, those of `ops/`.
 *
 * Shapes: T rows of a call, C cache capacity, H query heads, G KV heads, D head size, E width, F MLP width, V
 * vocabulary, S key sets, R attention rows (layers, or heads of layers).
 *
 * | input | shape | |
 * |---|---|---|
 * | tokens | int32 [T] | |
 * | position | int32 [1] | position of row 0 |
 * | k_cache_i, v_cache_i | [G,C,D] | caches of layer i; donated |
 * | keys, bits, counts | int32 [S,C], [S,C], [S] | key sets, in sparse graphs without a selector |
 * | heads_i | int32 [R] | heads of layer i that give attention weights, with `attentionHeads` |
 *
 * | output | shape | |
 * |---|---|---|
 * | logits | [T,V] | |
 * | last_logits | [1,V] | logits of row T-1; no other row goes through the head |
 * | next_k_cache_i, next_v_cache_i | [G,C,D] | caches of layer i with the new rows |
 * | embed, layer_output_i | [T,E] | what goes into layer 0, what comes out of layer i |
 * | attention | [R,C] | weights of row T-1, for `attentionLayers` in their order |
 * | attention_rows_i | [T,C] or [R,T,C] | weights of all rows in layer i: the mean over its heads, or those of R heads |
 * | set_weights | [S,T,C] | weights of sparse attention, for each key set; with `sparse.weights` |
 * | selected_counts_i, selected_kept_i | int32 [S], [S,T] | numbers of keys: listed by layer i's selector, seen by each row |
 *
 * Outputs that a call does not ask for are not computed. Ops are fused, so that a layer is six launches, and the head
 * with its norm is one:
 *
 * | node | op | computes |
 * |---|---|---|
 * | qkv | Linear | norm, product, bias |
 * | rotary | RotaryAppend | norms and rotation of queries and keys, new rows of both caches |
 * | attention | CausalAttention or SparseAttention | attention over the cache |
 * | out | Linear | product, bias, residual sum |
 * | gate_up | Linear | norm, product, bias, gate |
 * | down | Linear | product, bias, residual sum |
 *
 * Where an architecture multiplies what each layer adds to the residual stream by a factor r, the graph's stream holds
 * the model's stream divided by r. Layers then add without a factor; an RMSNorm of epsilon / r² gives the same rows.
 */
import {holdsFor, holdsForAny} from '../architectures.js';
import type {LlamaConfig} from '../hf/config.js';
import {GraphBuilder, attributes, output, stringAttr, type Graph} from './graph_builder.js';
import {checkGraphOptions, type GraphOptions, type Selector} from './graph_options.js';
import {EMBEDDING, FINAL_NORM, headParameter, layerParameters, parameters} from './parameters.js';
import {ropeFrequencies} from './rope.js';

/** Inputs and outputs that hold caches, in the order of `Llama.newCache`: keys of layer 0, its values, keys of layer 1, ... */
export interface CacheNames {
  inputs: string[];
  outputs: string[];
}

export function cacheNames({numHiddenLayers}: LlamaConfig): CacheNames {
  const inputs = Array.from({length: numHiddenLayers}, (_, i) => [`k_cache_${i}`, `v_cache_${i}`]).flat();
  return {inputs, outputs: inputs.map((name) => `next_${name}`)};
}

/** Names of other inputs and outputs of layer `i`; `layerOutputName(-1)` is what goes into layer 0. */
export const headsName = (i: number): string => `heads_${i}`;
export const layerOutputName = (i: number): string => (i < 0 ? 'embed' : `layer_output_${i}`);
export const attentionRowsName = (i: number): string => `attention_rows_${i}`;
export const selectedCountsName = (i: number): string => `selected_counts_${i}`;
export const selectedKeptName = (i: number): string => `selected_kept_${i}`;

/**
 * The graph of a Llama of this configuration. Its Const nodes without a value are the weights: `parameters(config)`.
 * @throws Error naming the option, what was expected and what came
 */
export function buildLlamaGraph(config: LlamaConfig, options: GraphOptions = {}): Graph {
  checkGraphOptions(config, options);
  return new Transformer(config, options).forward();
}

/** A rotary embedding: the node of its frequencies, and the factor of cos and sin. */
interface Rotary {
  frequencies: string;
  scale: number;
}

/** A node of layer `i`. */
const layerNode = (i: number, name: string): string => `layer_${i}/${name}`;

/** Adds a Llama's nodes to a graph. Methods take and return names of nodes; `i` is a layer. */
class Transformer {
  private readonly g = new GraphBuilder();
  private readonly tokens: string;
  private readonly position: string;
  private readonly caches: string[];
  /** The inputs keys, bits and counts; empty where no layer reads them. */
  private readonly selection: string[];
  private readonly rotaryEmbedding: Rotary;
  /** The rotary embedding of layers that have none: it turns by no angle. Undefined where every layer has one. */
  private readonly noRotary?: Rotary;

  constructor(
    private readonly config: LlamaConfig,
    private readonly options: GraphOptions,
  ) {
    const {numKeyValueHeads: kvHeads, headDim} = config;
    const {g} = this;
    this.tokens = g.input('tokens', 'int32', [-1]);
    this.position = g.input('position', 'int32', [1]);
    this.caches = cacheNames(config).inputs.map((name) => g.input(name, 'float32', [kvHeads, -1, headDim]));
    const {sparse} = options;
    this.selection =
      sparse && !sparse.selector
        ? [
            g.input('keys', 'int32', [-1, -1]),
            g.input('bits', 'int32', [-1, -1]),
            g.input('counts', 'int32', [-1]),
          ]
        : [];
    for (const {name} of parameters(config)) g.weight(name);
    const {longContext = false} = options;
    const {frequencies, scale} = ropeFrequencies(config, longContext);
    const name = longContext ? 'rotary/long_frequencies' : 'rotary/frequencies';
    this.rotaryEmbedding = {frequencies: g.constant(name, frequencies, [headDim / 2]), scale};
    if (holdsForAny(config.noRotary)) {
      const none = g.constant('rotary/none', new Float32Array(headDim / 2), [headDim / 2]);
      this.noRotary = {frequencies: none, scale: 1};
    }
  }

  /** The whole graph, from token ids to logits and attention weights. */
  forward(): Graph {
    const {g} = this;
    const {embeddingMultiplier, residualMultiplier} = this.config;
    const factor = embeddingMultiplier / residualMultiplier;
    const embedded = layerOutputName(-1);
    let x = g.gather(factor === 1 ? embedded : 'embed_unscaled', EMBEDDING, this.tokens); // [T,E]
    if (factor !== 1) x = g.multiply(embedded, x, factor);
    for (let i = 0; i < this.config.numHiddenLayers; i++) {
      x = this.layer(i, x);
      g.output(layerOutputName(i), x);
    }
    this.head('logits', x); // [T,V]
    this.head('last_logits', g.last('last_row', x, 2, 0)); // [1,V]
    this.addSetWeights();
    this.addAttention();
    return g.build();
  }

  private layer(i: number, x: string): string {
    const h = this.attention(i, x);
    return this.feedForward(i, h);
  }

  /** x + attention(norm(x)): [T,E] to [T,E]. */
  private attention(i: number, x: string): string {
    const {g} = this;
    const {numAttentionHeads: heads, headDim, qkvBias, outBias} = this.config;
    const weights = layerParameters(i);

    const qkv = g.linear(layerNode(i, 'qkv'), x, weights.qkv, {
      ...this.norm(weights.inputNorm),
      bias: qkvBias ? weights.qkvBias : undefined,
    }); // [T,(H+2G)·D]
    const [q, k, v] = this.rotary(i, qkv); // [T,H,D], [G,C,D], [G,C,D]
    const y = this.isSparse(i) ? this.sparseAttention(i, q, k, v) : this.causalAttention(i, q, k, v); // [T,H,D]
    const flat = g.reshape(layerNode(i, 'attention_flat'), y, [-1, heads * headDim]);
    return g.linear(layerNode(i, 'out'), flat, weights.out, {
      bias: outBias ? weights.outBias : undefined,
      residual: x,
    });
  }

  /** x + down(silu(gate(norm(x))) · up(norm(x))): [T,E] to [T,E]. */
  private feedForward(i: number, x: string): string {
    const {g} = this;
    const {mlpBias} = this.config;
    const weights = layerParameters(i);

    const gated = g.linear(layerNode(i, 'gate_up'), x, weights.gateUp, {
      ...this.norm(weights.mlpNorm),
      bias: mlpBias ? weights.gateUpBias : undefined,
      gated: true,
    }); // [T,F]
    return g.linear(layerNode(i, 'down'), gated, weights.down, {
      bias: mlpBias ? weights.downBias : undefined,
      residual: x,
    });
  }

  /** Logits of `rows` [N,E]: [N,V]. */
  private head(name: string, rows: string): string {
    const {logitsScaling} = this.config;
    const isScaled = logitsScaling !== 1;
    const node = isScaled ? `${name}_unscaled` : name;
    const logits = this.g.linear(node, rows, headParameter(this.config), this.norm(FINAL_NORM));
    return isScaled ? this.g.multiply(name, logits, 1 / logitsScaling) : logits;
  }

  private norm(weight: string): {norm: string; epsilon: number} {
    const {rmsNormEps, residualMultiplier} = this.config;
    return {norm: weight, epsilon: rmsNormEps / residualMultiplier ** 2};
  }

  /** Splits qkv [T,(H+2G)·D] into rotated queries [T,H,D] and the caches of keys and values [G,C,D] with the new rows. */
  private rotary(i: number, qkv: string): [q: string, k: string, v: string] {
    const {g} = this;
    const [keyCache, valueCache] = this.caches.slice(2 * i);
    const {noRotary, qkNorm, rmsNormEps} = this.config;
    const {frequencies, scale} = holdsFor(noRotary, i) ? this.noRotary! : this.rotaryEmbedding;
    const {queryNorm, keyNorm} = layerParameters(i);
    const inputs = [qkv, this.position, frequencies, keyCache, valueCache];
    if (qkNorm) inputs.push(queryNorm, keyNorm);
    const q = g.node(layerNode(i, 'rotary'), 'RotaryAppend', inputs, {
      scale: {f: scale},
      ...(qkNorm && {epsilon: {f: rmsNormEps}}),
    });
    const [k, v] = [output(q, 1), output(q, 2)];
    g.output(`next_k_cache_${i}`, k);
    g.output(`next_v_cache_${i}`, v);
    return [q, k, v];
  }

  private causalAttention(i: number, q: string, k: string, v: string): string {
    const {g} = this;
    const {attention = 'none', attentionLayers = [], attentionHeads} = this.options;
    const weights = attentionLayers.includes(i) ? attention : 'none';
    const heads = weights === 'head' && attentionHeads ? [g.input(headsName(i), 'int32', [-1])] : [];
    const y = g.node(layerNode(i, 'attention'), 'CausalAttention', [q, k, v, this.position, ...heads], {
      weights: stringAttr(weights),
      ...this.attentionAttrs(i),
    });
    if (weights !== 'none') g.output(attentionRowsName(i), output(y, 1));
    return y;
  }

  /** What dense and sparse attention of layer `i` are told beside their weights and sets. */
  private attentionAttrs(i: number): Record<string, {f: number} | {i: number}> {
    const {attentionScale} = this.config;
    const window = this.window(i);
    return {...(attentionScale && {scale: {f: attentionScale}}), ...(window && {window: {i: window}})};
  }

  /** How many keys a row of layer `i` sees at most; 0 where there is no limit. */
  private window(i: number): number {
    const {slidingWindow} = this.config;
    return slidingWindow && holdsFor(slidingWindow.layers, i) ? slidingWindow.size : 0;
  }

  private isSparse(i: number): boolean {
    const {sparse} = this.options;
    return sparse !== undefined && sparse.sets[i] >= 0;
  }

  private sparseAttention(i: number, q: string, k: string, v: string): string {
    const {sets, setsPerLayer, selector, weights = false} = this.options.sparse!;
    // A selector gives the sets of its own layer alone, so its first set is set 0.
    const selection = selector ? this.select(i, selector, q, k) : this.selection;
    // A row of a layer with a window does not see selected keys before its window.
    const inputs = [q, k, v, ...selection, ...(this.window(i) ? [this.position] : [])];
    return this.g.node(layerNode(i, 'attention'), 'SparseAttention', inputs, {
      ...this.attentionAttrs(i),
      set: {i: selector ? 0 : sets[i]},
      sets: {i: setsPerLayer},
      weights: {b: weights},
    });
  }

  /** Keys, bits and counts of layer `i`, selected by its own queries and keys. */
  private select(i: number, {op, attrs}: Selector, q: string, k: string): string[] {
    const {g} = this;
    const keys = g.node(layerNode(i, 'select'), op, [q, k, this.position], attributes(attrs));
    const [bits, counts, kept] = [1, 2, 3].map((n) => output(keys, n));
    g.output(selectedCountsName(i), counts);
    g.output(selectedKeptName(i), kept);
    return [keys, bits, counts];
  }

  /** The output `set_weights` [S,T,C], if the options ask for it. */
  private addSetWeights(): void {
    const {sparse} = this.options;
    if (!sparse?.weights) return;
    const weights = sparse.sets.flatMap((set, i) => (set >= 0 ? [output(layerNode(i, 'attention'), 1)] : []));
    this.g.concat('set_weights', weights);
  }

  /**
   * The output `attention` [R,C], if the options ask for it. The last row is cut out of the weights of all layers at
   * once, after the last layer: with deferred softmax one kernel then makes the weights of all layers.
   */
  private addAttention(): void {
    const {g} = this;
    const {attention = 'none', attentionLayers = []} = this.options;
    if (attention === 'none') return;
    const weights = attentionLayers.map((i) => output(layerNode(i, 'attention'), 1));
    const all =
      attention === 'layer' ? g.stack('attention_all', weights) : g.concat('attention_all', weights); // [R,T,C]
    g.squeeze('attention', g.last('attention_last', all, 3, 1), 1);
  }
}

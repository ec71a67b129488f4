/**
 * A Llama as a TF.js graph: TensorFlow's ops where one exists, those of `ops/` elsewhere.
 *
 * T rows of a call, C cache capacity, H query heads, G key/value heads, D head size, E width, V vocabulary, S selections.
 *
 * | input | | output | |
 * |---|---|---|---|
 * | tokens | int32 [T] | logits | [T,V] |
 * | position | int32 [1]: of row 0 | last_logits | [1,V]: of row T-1, the only one that goes through the head |
 * | k_cache_i, v_cache_i | [G,C,D] a layer | next_k_cache_i, next_v_cache_i | [G,C,D]: with the new rows; the inputs are donated |
 * | keys, bits, counts | int32 [S,C], [S,C], [S]: sparse graphs' without a selector | attention | [R,C]: row T-1's weights, a row a layer or a head |
 * | heads_i | int32 [R], where heads are named | attention_rows_i | [T,C], or [R,T,C] of R heads: all rows' |
 * | | | set_weights | [S,T,C]: sparse layers' weights, a set each, where the graph gives them |
 * | | | selected_counts_i, selected_kept_i | a selector's, of a sparse layer |
 *
 * Outputs that are not asked for are not computed. A layer is six launches, and the head is one with its norm:
 *
 * | node | op | what it does |
 * |---|---|---|
 * | qkv | Linear | norm, product, bias |
 * | rotary | RotaryAppend | rotation of queries and keys, both caches' new rows |
 * | attention | CausalAttention, SparseAttention | |
 * | out | Linear | product, bias, residual |
 * | gate_up | Linear | norm, product, bias, gate |
 * | down | Linear | product, bias, residual |
 */
import type {LlamaConfig} from '../hf/config.js';
import {EMBEDDING, FINAL_NORM, headParameter, layerParameters, parameters} from './parameters.js';
import {ropeFrequencies} from './rope.js';

export interface GraphOptions {
  /** Whose attention weights the graph gives: nobody's, layers' (the mean over heads), or heads'. Default `none`. */
  attention?: 'none' | 'layer' | 'head';
  /** Layers whose attention it gives, in this order. */
  attentionLayers?: number[];
  /** With `head`: whether inputs name the heads whose attention it is; else it is every head's. Default false. */
  attentionHeads?: boolean;
  /** Layers that attend to selected keys: a layer's first set, or -1 where it attends to all; and sets a layer, 1 or G. */
  sparse?: {
    sets: number[];
    setsPerLayer: number;
    /** Whether to give their weights; every set is then one layer's, in order. Default false. */
    weights?: boolean;
    /** Selects each such layer's keys in the graph, from its own queries and keys; without it the selection is an input. */
    selector?: Selector;
  };
}

/**
 * A registered op from q [T,H,D], k [G,C,D] and position to what NucleusSelect gives of one layer's sets: keys, bits, counts and kept.
 */
export interface Selector {
  op: string;
  attrs: Record<string, number | string>;
}

type AttrValue =
  | {i: number}
  | {list: {i: number[]}}
  | {f: number}
  | {b: boolean}
  | {s: string}
  | {type: string}
  | {shape: object};

interface NodeDef {
  name: string;
  op: string;
  input: string[];
  attr: Record<string, AttrValue>;
}

/** A Const node whose value belongs to the architecture, not to the weights. */
export interface GraphConstant {
  dtype: 'int32' | 'float32';
  shape: number[];
  values: Int32Array | Float32Array;
}

export interface LlamaGraph {
  /** TensorFlow's GraphDef as JSON: `modelTopology` of a model.json. */
  topology: {node: NodeDef[]; versions: {producer: number; minConsumer: number}};
  /** By Const node. The other Const nodes are the weights: `parameters(config)`. */
  constants: Map<string, GraphConstant>;
}

/**
 * Names of the caches' inputs and outputs, in the order of `Llama.newCache`: keys and values of layer 0, of layer 1, ...
 */
export function cacheNames({numHiddenLayers}: LlamaConfig): {inputs: string[]; outputs: string[]} {
  const inputs = Array.from({length: numHiddenLayers}, (_, i) => [`k_cache_${i}`, `v_cache_${i}`]).flat();
  return {inputs, outputs: inputs.map((name) => `next_${name}`)};
}

/** The input that names heads of a layer. */
export const headsName = (layer: number): string => `heads_${layer}`;

const string = (text: string): AttrValue => ({s: Buffer.from(text).toString('base64')});
const DTYPES = {int32: 'DT_INT32', float32: 'DT_FLOAT'};

/** What Linear does beside its product. */
interface LinearFusion {
  /** Of x, with `epsilon`. */
  norm?: string;
  epsilon?: number;
  bias?: string;
  gated?: boolean;
  residual?: string;
}

/** Collects nodes; every method returns the new node's name, which other nodes take as an input. */
class GraphBuilder {
  readonly nodes: NodeDef[] = [];
  readonly constants = new Map<string, GraphConstant>();

  node(name: string, op: string, input: string[], attr: Record<string, AttrValue> = {}): string {
    this.nodes.push({name, op, input, attr});
    return name;
  }

  input(name: string, dtype: 'int32' | 'float32', shape: number[]): string {
    const dim = shape.map((size) => ({size: String(size)}));
    return this.node(name, 'Placeholder', [], {dtype: {type: DTYPES[dtype]}, shape: {shape: {dim}}});
  }

  weight(name: string, dtype: 'int32' | 'float32' = 'float32'): string {
    return this.node(name, 'Const', [], {dtype: {type: DTYPES[dtype]}});
  }

  constant(name: string, values: Int32Array | Float32Array, shape: number[]): string {
    const dtype = values instanceof Int32Array ? 'int32' : 'float32';
    this.constants.set(name, {dtype, shape, values});
    return this.weight(name, dtype);
  }

  /** A shape, an axis or a list of sizes: one node for each value, however often it is used. */
  ints(values: number | number[]): string {
    const list = [values].flat();
    const name = `const/${Array.isArray(values) ? 'list' : 'scalar'}${list.join('_').replaceAll('-', 'm')}`;
    if (this.constants.has(name)) return name;
    return this.constant(name, Int32Array.from(list), Array.isArray(values) ? [list.length] : []);
  }

  linear(name: string, x: string, weight: string, fusion: LinearFusion = {}): string {
    const {norm, epsilon, bias, gated, residual} = fusion;
    const given = Object.entries({norm, bias, residual}).filter(([, input]) => input !== undefined);
    const inputs = [x, weight, ...given.map(([, input]) => input!)];
    return this.node(name, 'Linear', inputs, {
      ...Object.fromEntries(given.map(([key]) => [key, {b: true}])),
      ...(gated && {gated: {b: true}}),
      ...(norm !== undefined && {epsilon: {f: epsilon!}}),
    });
  }

  reshape(name: string, x: string, shape: number[]): string {
    return this.node(name, 'Reshape', [x, this.ints(shape)]);
  }

  /** The last entry along `axis`, which stays as an axis of one entry. */
  last(name: string, x: string, rank: number, axis: number): string {
    const all = 2 ** rank - 1;
    const zeros = new Array<number>(rank).fill(0);
    const begin = zeros.map((_, i) => (i === axis ? -1 : 0));
    const inputs = [x, this.ints(begin), this.ints(zeros), this.ints(zeros.map(() => 1))];
    const masks = {begin_mask: {i: all - 2 ** axis}, end_mask: {i: all}};
    return this.node(name, 'StridedSlice', inputs, {
      ...masks,
      ...{ellipsis_mask: {i: 0}, new_axis_mask: {i: 0}, shrink_axis_mask: {i: 0}},
    });
  }
}

/** The graph of `config`, with what `options` ask for. */
export function buildLlamaGraph(config: LlamaConfig, options: GraphOptions = {}): LlamaGraph {
  const {attention = 'none', attentionLayers = [], attentionHeads, sparse} = options;
  checkOptions(config, options);
  const {numHiddenLayers, numAttentionHeads: heads, numKeyValueHeads: groups, headDim} = config;
  const g = new GraphBuilder();

  const tokens = g.input('tokens', 'int32', [-1]);
  const position = g.input('position', 'int32', [1]);
  const caches = cacheNames(config).inputs.map((name) => g.input(name, 'float32', [groups, -1, headDim]));
  const {selector} = sparse ?? {};
  const selection =
    sparse && !selector
      ? [
          g.input('keys', 'int32', [-1, -1]),
          g.input('bits', 'int32', [-1, -1]),
          g.input('counts', 'int32', [-1]),
        ]
      : [];
  for (const {name} of parameters(config)) g.weight(name);
  const rope = ropeFrequencies(config);
  const frequencies = g.constant('rotary/frequencies', rope.frequencies, [headDim / 2]);

  const normed = (norm: string) => ({norm, epsilon: config.rmsNormEps});

  let x = g.node('embed', 'GatherV2', [EMBEDDING, tokens, g.ints(0)], {batch_dims: {i: 0}});
  for (let i = 0; i < numHiddenLayers; i++) {
    const names = layerParameters(i);
    const at = (name: string) => `layer_${i}/${name}`;
    const bias = (condition: boolean, name: string) => (condition ? name : undefined);

    const qkv = g.linear(at('qkv'), x, names.qkv, {
      ...normed(names.inputNorm),
      bias: bias(config.attentionBias, names.qkvBias),
    });
    const [keyCache, valueCache] = caches.slice(2 * i);
    const q = g.node(at('rotary'), 'RotaryAppend', [qkv, position, frequencies, keyCache, valueCache], {
      scale: {f: rope.scale},
    });
    const [keys, values] = [`${q}:1`, `${q}:2`];
    g.node(`next_k_cache_${i}`, 'Identity', [keys]);
    g.node(`next_v_cache_${i}`, 'Identity', [values]);

    const set = sparse?.sets[i] ?? -1;
    const weights = attentionLayers.includes(i) ? attention : 'none';
    const named = weights === 'head' && attentionHeads ? [g.input(headsName(i), 'int32', [-1])] : [];
    let read = selection;
    if (selector && set >= 0) {
      const own = g.node(at('select'), selector.op, [q, keys, position], attributes(selector));
      read = [own, `${own}:1`, `${own}:2`];
      g.node(`selected_counts_${i}`, 'Identity', [`${own}:2`]);
      g.node(`selected_kept_${i}`, 'Identity', [`${own}:3`]);
    }
    const attended =
      set >= 0
        ? g.node(at('attention'), 'SparseAttention', [q, keys, values, ...read], {
            set: {i: selector ? 0 : set},
            sets: {i: sparse!.setsPerLayer},
            weights: {b: sparse!.weights ?? false},
          })
        : g.node(at('attention'), 'CausalAttention', [q, keys, values, position, ...named], {
            weights: string(weights),
          });
    if (weights !== 'none') g.node(`attention_rows_${i}`, 'Identity', [`${attended}:1`]);

    const flat = g.reshape(at('attention_flat'), attended, [-1, heads * headDim]);
    x = g.linear(at('out'), flat, names.out, {
      bias: bias(config.attentionBias, names.outBias),
      residual: x,
    });
    const gated = g.linear(at('gate_up'), x, names.gateUp, {
      ...normed(names.mlpNorm),
      bias: bias(config.mlpBias, names.gateUpBias),
      gated: true,
    });
    x = g.linear(at('down'), gated, names.down, {
      bias: bias(config.mlpBias, names.downBias),
      residual: x,
    });
  }

  const head = (name: string, rows: string) =>
    g.linear(name, rows, headParameter(config), normed(FINAL_NORM));
  head('logits', x);
  head('last_logits', g.last('last_row', x, 2, 0));
  if (sparse?.weights) {
    const given = sparse.sets.flatMap((set, i) => (set >= 0 ? [`layer_${i}/attention:1`] : []));
    g.node('set_weights', 'ConcatV2', [...given, g.ints(0)], {N: {i: given.length}});
  }
  if (attention !== 'none') addAttention(g, attention, attentionLayers);
  return {topology: {node: g.nodes, versions: {producer: 1, minConsumer: 0}}, constants: g.constants};
}

function attributes({attrs}: Selector): Record<string, AttrValue> {
  const value = (x: number | string) =>
    typeof x === 'string' ? string(x) : Number.isInteger(x) ? {i: x} : {f: x};
  return Object.fromEntries(Object.entries(attrs).map(([name, x]) => [name, value(x)]));
}

/**
 * `attention` [R,C]: the last row's weights of each layer, or of each head of each layer, one under the other. It is cut out of all of them
 * at once, so that nothing looks at weights while the layers run: a device may make them all together.
 */
function addAttention(g: GraphBuilder, attention: 'layer' | 'head', layers: number[]): void {
  const weights = layers.map((i) => `layer_${i}/attention:1`);
  const N = {i: weights.length};
  const all =
    attention === 'layer'
      ? g.node('attention_all', 'Pack', weights, {N, axis: {i: 0}}) // [L,T,C]
      : g.node('attention_all', 'ConcatV2', [...weights, g.ints(0)], {N}); // [R,T,C]
  const last = g.last('attention_last', all, 3, 1);
  g.node('attention', 'Squeeze', [last], {squeeze_dims: {list: {i: [1]}}});
}

function checkOptions({numHiddenLayers, numKeyValueHeads}: LlamaConfig, options: GraphOptions): void {
  const {attention = 'none', attentionLayers = [], attentionHeads, sparse} = options;
  const fail = (what: string, expected: string, received: unknown): never => {
    throw new Error(`[Llama] ${what} must be ${expected} but is ${JSON.stringify(received)}`);
  };
  if (!['none', 'layer', 'head'].includes(attention)) fail('attention', 'none, layer or head', attention);
  const isLayer = (i: number) => Number.isInteger(i) && i >= 0 && i < numHiddenLayers;
  if (new Set(attentionLayers).size !== attentionLayers.length || !attentionLayers.every(isLayer))
    fail('attentionLayers', `different layers below ${numHiddenLayers}`, attentionLayers);
  if ((attention === 'none') !== (attentionLayers.length === 0))
    fail(
      'attentionLayers',
      attention === 'none' ? 'empty without attention' : 'one layer or more',
      attentionLayers,
    );
  if (attentionHeads && attention !== 'head') fail('attentionHeads', 'false unless attention is head', true);
  if (!sparse) return;
  const {sets, setsPerLayer} = sparse;
  if (sets.length !== numHiddenLayers || !sets.every((set) => Number.isInteger(set) && set >= -1))
    fail('sets', `${numHiddenLayers} first sets, or -1 where a layer is dense,`, sets);
  if (setsPerLayer !== 1 && setsPerLayer !== numKeyValueHeads)
    fail('setsPerLayer', `1 or ${numKeyValueHeads} (one a key/value head)`, setsPerLayer);
  const listed = sets.filter((set) => set >= 0);
  if (sparse.weights && (listed.length === 0 || listed.some((set, i) => set !== i * setsPerLayer)))
    fail('sets', 'the sets of one layer after the other where weights are asked for', sets);
  const both = attentionLayers.filter((i) => sets[i] >= 0);
  if (both.length > 0) fail('attentionLayers', 'dense layers', both);
}

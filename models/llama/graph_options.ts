/** The variants of a Llama's graph: which attention weights a graph gives, and which of its layers are sparse. */
import type {LlamaConfig} from '../hf/config.js';

export interface GraphOptions {
  /** Attention weights that the graph gives: the mean over a layer's heads, or those of single heads. Default `none`. */
  attention?: 'none' | 'layer' | 'head';
  /** Layers whose attention weights the graph gives, in this order. */
  attentionLayers?: number[];
  /** Only with `head`: true if inputs name the heads that give weights, false if every head gives them. Default false. */
  attentionHeads?: boolean;
  /** Whether the cache is longer than LongRoPE's original context. Default false. */
  longContext?: boolean;
  /** Sparse attention. Without it every layer is dense. */
  sparse?: {
    /** For each layer the index of its first key set, or -1 if the layer is dense. */
    sets: number[];
    /** Key sets of a sparse layer: 1, or G for one per KV head. */
    setsPerLayer: number;
    /**
     * Whether the graph gives the weights of sparse attention. Layers must not share sets then, and sets must be
     * numbered from 0 in the order of the layers. Default false.
     */
    weights?: boolean;
    /** Op by which each sparse layer selects its own keys. Without it the key sets are inputs. */
    selector?: Selector;
  };
}

/**
 * A registered op that selects keys inside the graph. It takes q [T,H,D], k [G,C,D] and position [1] of one layer,
 * and gives what NucleusSelect gives: keys [S,C], bits [S,C], counts [S] and kept [S,T] for the S sets of that layer.
 */
export interface Selector {
  op: string;
  attrs: Record<string, number | string>;
}

/** @throws Error naming the option, what was expected and what came */
export function checkGraphOptions(
  {numHiddenLayers, numKeyValueHeads}: LlamaConfig,
  options: GraphOptions,
): void {
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

/** One forward call of a Llama: its inputs and results, and how they become inputs and outputs of the graph. */
import type * as tf from '@tensorflow/tfjs-core';
import type {GraphModel} from '@tensorflow/tfjs-converter';

import {
  attentionRowsName,
  headsName,
  layerOutputName,
  selectedCountsName,
  selectedKeptName,
  type CacheNames,
} from './graph.js';
import type {GraphOptions, Selector} from './graph_options.js';

const OUTPUTS = ['logits', 'lastLogits', 'attention', 'attentionRows', 'setWeights', 'layerOutputs'] as const;
export type LlamaOutput = (typeof OUTPUTS)[number];

/** Whose attention weights a call gives: those of layers (the mean over a layer's heads) or of single heads. */
export interface AttentionOf {
  granularity: 'layer' | 'head';
  /** Layers in the order of their rows in the output. */
  layers: number[];
  /** Only with `head`: for each of `layers` the heads that give weights, int32 [R]. By default all heads do. */
  heads?: tf.Tensor1D[];
}

export interface LlamaInput {
  /** int32 [T] */
  tokens: tf.Tensor1D;
  /** int32 [1]: position of tokens[0] */
  position: tf.Tensor1D;
  /** Caches from `newCache` or an earlier result. They are donated: use the result's caches afterwards. */
  cache: tf.Tensor3D[];
  /**
   * What to compute beside the caches. `attention` holds the weights of all T rows of every layer in
   * `attention.layers` until the last row is cut out, so its memory grows with T.
   */
  outputs: LlamaOutput[];
  /** Whose weights the outputs `attention` and `attentionRows` hold; these outputs need it. */
  attention?: AttentionOf;
  /** Sparse attention over given key sets. */
  selection?: {
    /** The key sets, as NucleusSelect gives them: int32 [S,C], [S,C], [S]. */
    keys: tf.Tensor2D;
    bits: tf.Tensor2D;
    counts: tf.Tensor1D;
    /** For each layer the index of its first key set, or -1 if the layer is dense. */
    sets: number[];
    /** Key sets of a sparse layer: 1, or one per KV head. */
    setsPerLayer: number;
  };
  /** Sparse attention in which each sparse layer selects its own keys by an op. Give this or `selection`, not both. */
  select?: {selector: Selector; sets: number[]; setsPerLayer: number};
}

export interface LlamaResult {
  /** [T,V] */
  logits?: tf.Tensor2D;
  /** `[1,V]`: logits of the last row */
  lastLogits?: tf.Tensor2D;
  /** `[T,E]` each: the embedding's output, which goes into layer 0, then the output of each layer */
  layerOutputs?: tf.Tensor2D[];
  /** `[R,C]`: the last row's attention weights, a row for each layer or each head that `attention` names */
  attention?: tf.Tensor2D;
  /** All rows' attention weights, a tensor for each of `attention.layers`: [T,C], or [R,T,C] for R heads */
  attentionRows?: tf.Tensor[];
  /** `[S,T,C]`: attention weights over each key set of `selection`, the mean over the heads that read the set */
  setWeights?: tf.Tensor3D;
  /** With `select`, for each sparse layer in order: number of listed keys [S], and of keys that each row sees [S,T] */
  selected?: {counts: tf.Tensor1D; kept: tf.Tensor2D}[];
  /** Caches with the new rows, in the order of `newCache` */
  cache: tf.Tensor3D[];
}

/** Outputs that are one node of the graph each. */
const GRAPH_OUTPUTS = {
  logits: 'logits',
  lastLogits: 'last_logits',
  attention: 'attention',
  setWeights: 'set_weights',
} as const;

function wantsAttention({outputs}: LlamaInput): boolean {
  return outputs.includes('attention') || outputs.includes('attentionRows');
}

/**
 * Checks that the parts of an input fit together. The graph's options and ops check the rest.
 * @param caches how many cache tensors the model has
 */
export function checkInput(input: LlamaInput, caches: number): void {
  const {cache, outputs, attention, selection} = input;
  if (cache.length !== caches)
    throw new Error(`[Llama] cache must have ${caches} tensors but has ${cache.length}`);
  const unknown = outputs.filter((output) => !OUTPUTS.includes(output));
  if (unknown.length > 0)
    throw new Error(`[Llama] outputs must be of ${OUTPUTS.join(', ')} but one is '${unknown[0]}'`);
  if (wantsAttention(input) && !attention) throw new Error(`[Llama] the outputs [${outputs}] need attention`);
  if (outputs.includes('setWeights') && !selection)
    throw new Error(`[Llama] the outputs [${outputs}] need a selection`);
  if (!wantsAttention(input)) return;
  const {granularity, layers, heads} = attention!;
  if (heads && granularity !== 'head')
    throw new Error(`[Llama] attention's heads can be named by 'head' alone, not by '${granularity}'`);
  if (heads && heads.length !== layers.length)
    throw new Error(
      `[Llama] attention must name heads of ${layers.length} layers but does of ${heads.length}`,
    );
}

/** Options of the graph that a checked input needs. */
export function graphOptions(input: LlamaInput): GraphOptions {
  const {outputs, attention, selection, select} = input;
  return {
    ...(wantsAttention(input) && {
      attention: attention!.granularity,
      attentionLayers: attention!.layers,
      ...(attention!.heads && {attentionHeads: true}),
    }),
    ...(selection && {
      sparse: {
        sets: selection.sets,
        setsPerLayer: selection.setsPerLayer,
        weights: outputs.includes('setWeights'),
      },
    }),
    ...(select && {sparse: select}),
  };
}

/** Runs the graph that {@link graphOptions} asks for. */
export function execute(
  graph: GraphModel<tf.io.IOHandlerSync>,
  input: LlamaInput,
  caches: CacheNames,
): LlamaResult {
  const {outputs, attention, select} = input;
  const single = Object.entries(GRAPH_OUTPUTS).filter(([output]) => outputs.includes(output as LlamaOutput));
  const rowLayers = outputs.includes('attentionRows') ? attention!.layers : undefined;
  const selectLayers = select && [...select.sets.keys()].filter((layer) => select.sets[layer] >= 0);
  const layers = caches.outputs.length / 2;
  const layerOutputs = outputs.includes('layerOutputs')
    ? Array.from({length: layers + 1}, (_, i) => layerOutputName(i - 1))
    : undefined;
  const names = [
    ...caches.outputs,
    ...single.map(([, name]) => name),
    ...(layerOutputs ?? []),
    ...(rowLayers ?? []).map(attentionRowsName),
    ...(selectLayers ?? []).flatMap((layer) => [selectedCountsName(layer), selectedKeptName(layer)]),
  ];

  const tensors = graph.execute(graphInputs(input, caches), names) as tf.Tensor[];
  const byName = new Map(names.map((name, i) => [name, tensors[i]]));
  const get = <T extends tf.Tensor>(name: string) => byName.get(name) as T;
  return {
    ...Object.fromEntries(single.map(([output, name]) => [output, get(name)])),
    ...(layerOutputs && {layerOutputs: layerOutputs.map((name) => get<tf.Tensor2D>(name))}),
    ...(rowLayers && {attentionRows: rowLayers.map((layer) => get(attentionRowsName(layer)))}),
    ...(selectLayers && {
      selected: selectLayers.map((layer) => ({
        counts: get<tf.Tensor1D>(selectedCountsName(layer)),
        kept: get<tf.Tensor2D>(selectedKeptName(layer)),
      })),
    }),
    cache: caches.outputs.map((name) => get<tf.Tensor3D>(name)),
  };
}

function graphInputs(input: LlamaInput, caches: CacheNames): tf.NamedTensorMap {
  const {tokens, position, cache, attention, selection} = input;
  const inputs: tf.NamedTensorMap = {tokens, position};
  caches.inputs.forEach((name, i) => (inputs[name] = cache[i]));
  if (selection)
    Object.assign(inputs, {keys: selection.keys, bits: selection.bits, counts: selection.counts});
  const heads = wantsAttention(input) ? attention!.heads : undefined;
  heads?.forEach((tensor, i) => (inputs[headsName(attention!.layers[i])] = tensor));
  return inputs;
}

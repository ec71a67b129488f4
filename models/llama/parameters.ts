/** The weights of a Llama's graph, and the tensors of a Hugging Face folder from which each weight is made. */
import type {LlamaConfig} from '../hf/config.js';
import type {Safetensors, TensorEntry} from '../hf/safetensors.js';
import {STORAGE_OF_DTYPE, type RawTensor} from './weights.js';

export interface Parameter {
  /** Name of the graph's Const node. */
  name: string;
  shape: number[];
  /** The folder's tensors. Their rows, one tensor under the other, make this weight. */
  sources: {name: string; shape: number[]}[];
}

/** Names of the weights of layer `i`. A model has the biases and the norms of heads that its config asks for. */
export function layerParameters(i: number) {
  const layer = `model.layers.${i}`;
  return {
    inputNorm: `${layer}.input_layernorm.weight`,
    qkv: `${layer}.self_attn.qkv_proj.weight`,
    qkvBias: `${layer}.self_attn.qkv_proj.bias`,
    queryNorm: `${layer}.self_attn.q_norm.weight`,
    keyNorm: `${layer}.self_attn.k_norm.weight`,
    out: `${layer}.self_attn.o_proj.weight`,
    outBias: `${layer}.self_attn.o_proj.bias`,
    mlpNorm: `${layer}.post_attention_layernorm.weight`,
    gateUp: `${layer}.mlp.gate_up_proj.weight`,
    gateUpBias: `${layer}.mlp.gate_up_proj.bias`,
    down: `${layer}.mlp.down_proj.weight`,
    downBias: `${layer}.mlp.down_proj.bias`,
  };
}

export const EMBEDDING = 'model.embed_tokens.weight';
export const FINAL_NORM = 'model.norm.weight';
const HEAD = 'lm_head.weight';
/** Name of the head's weight, which is the embedding matrix in models with tied embeddings. */
export function headParameter({tieWordEmbeddings}: LlamaConfig): string {
  return tieWordEmbeddings ? EMBEDDING : HEAD;
}

/**
 * All weights in the order of use. The matrices of queries, keys and values are joined to one matrix [(H+2G)·D, E],
 * and those of gate and up to one [2F, E], so that each needs a single matrix product.
 */
export function parameters(config: LlamaConfig): Parameter[] {
  return [...eachParameter(config)];
}

/** A generator, since a wrong config.json may ask for a billion layers: reading stops at the first missing tensor. */
function* eachParameter(config: LlamaConfig): Generator<Parameter> {
  const {vocabSize, hiddenSize, intermediateSize, numHiddenLayers, headDim} = config;
  const one = (name: string, shape: number[], sources = [{name, shape}]) => ({name, shape, sources});
  /** A matrix with `columns` columns and its bias, if there is one, each joined from several tensors of the folder. */
  const linear = (
    weight: string,
    bias: string | undefined,
    outputs: [suffix: string, rows: number][],
    columns: number,
  ): Parameter[] => {
    const prefix = weight.slice(0, weight.lastIndexOf('.', weight.lastIndexOf('.') - 1));
    const rows = outputs.reduce((sum, [, n]) => sum + n, 0);
    const sources = (kind: string, rest: number[]) =>
      outputs.map(([suffix, n]) => ({name: `${prefix}.${suffix}.${kind}`, shape: [n, ...rest]}));
    const matrix = one(weight, [rows, columns], sources('weight', [columns]));
    return bias ? [matrix, one(bias, [rows], sources('bias', []))] : [matrix];
  };

  yield one(EMBEDDING, [vocabSize, hiddenSize]);
  const queries = config.numAttentionHeads * headDim;
  const keys = config.numKeyValueHeads * headDim;
  const biased = (condition: boolean, name: string) => (condition ? name : undefined);
  for (let i = 0; i < numHiddenLayers; i++) {
    const {qkvBias, outBias, mlpBias, qkNorm} = config;
    const names = layerParameters(i);
    yield one(names.inputNorm, [hiddenSize]);
    const qkv: [string, number][] = [
      ['q_proj', queries],
      ['k_proj', keys],
      ['v_proj', keys],
    ];
    yield* linear(names.qkv, biased(qkvBias, names.qkvBias), qkv, hiddenSize);
    if (qkNorm) for (const name of [names.queryNorm, names.keyNorm]) yield one(name, [headDim]);
    yield* linear(names.out, biased(outBias, names.outBias), [['o_proj', hiddenSize]], queries);
    yield one(names.mlpNorm, [hiddenSize]);
    const gateUp: [string, number][] = [
      ['gate_proj', intermediateSize],
      ['up_proj', intermediateSize],
    ];
    yield* linear(names.gateUp, biased(mlpBias, names.gateUpBias), gateUp, hiddenSize);
    yield* linear(names.down, biased(mlpBias, names.downBias), [['down_proj', hiddenSize]], intermediateSize);
  }
  yield one(FINAL_NORM, [hiddenSize]);
  if (!config.tieWordEmbeddings) yield one(headParameter(config), [vocabSize, hiddenSize]);
}

/**
 * The configuration of the weights in `file`. A file may hold a head although config.json says that the head is the
 * embedding matrix. The head then counts if it differs, as in transformers.
 */
export function settleHead(file: Safetensors, config: LlamaConfig): LlamaConfig {
  if (!config.tieWordEmbeddings || !file.entries.has(HEAD)) return config;
  const embedding = nameIn(file, EMBEDDING);
  const tieWordEmbeddings = embedding === undefined || file.equal(embedding, HEAD);
  return {...config, tieWordEmbeddings};
}

/** The name under which a file holds the tensor `name`: the weights of a model without its head have no prefix `model.`. */
function nameIn({entries}: Safetensors, name: string): string | undefined {
  return [name, name.replace(/^model\./, '')].find((candidate) => entries.has(candidate));
}

/** A parameter with readers for its sources. */
export interface ReadParameter {
  name: string;
  shape: number[];
  parts: RawTensor[];
  /** Bytes of the folder's weights up to the end of this parameter, and of all weights. */
  loaded: number;
  total: number;
}

/**
 * All parameters in order. Every source is checked before the first parameter comes. `file` must stay open while
 * parts are read.
 * @throws Error naming the tensor, what was expected and what came
 */
export function* readParameters(
  file: Safetensors,
  dir: string,
  config: LlamaConfig,
): Generator<ReadParameter> {
  const plan: (Omit<Parameter, 'sources'> & {tensors: StoredTensor[]})[] = [];
  for (const {sources, ...parameter} of eachParameter(config))
    plan.push({...parameter, tensors: sources.map((source) => stored(file, dir, config, source))});
  const total = plan.flatMap(({tensors}) => tensors).reduce((sum, {entry}) => sum + entry.bytes, 0);
  let loaded = 0;
  for (const {name, shape, tensors} of plan) {
    const parts = tensors.map((tensor) => ({
      storage: STORAGE_OF_DTYPE[tensor.entry.dtype],
      size: tensor.entry.shape.reduce((product, n) => product * n, 1),
      chunks: () => file.chunks(tensor.name),
      place: () => file.place(tensor.name),
    }));
    loaded += tensors.reduce((sum, {entry}) => sum + entry.bytes, 0);
    yield {name, shape, parts, loaded, total};
  }
}

/** A tensor of a file under the name that it has there. */
interface StoredTensor {
  name: string;
  entry: TensorEntry;
}

/** The checked tensor of which a parameter or a part of one is made. A tied embedding may be stored as the head alone. */
function stored(
  file: Safetensors,
  dir: string,
  {tieWordEmbeddings}: LlamaConfig,
  {name: wanted, shape}: Parameter['sources'][number],
): StoredTensor {
  const name =
    nameIn(file, wanted) ?? (wanted === EMBEDDING && tieWordEmbeddings ? nameIn(file, HEAD) : undefined);
  const entry = name === undefined ? undefined : file.entries.get(name);
  if (!entry) throw new Error(`${dir}: the weights must hold '${wanted}' [${shape}] but do not`);
  if (entry.shape.join() !== shape.join())
    throw new Error(`${entry.file}: '${name}' must have shape [${shape}] but has [${entry.shape}]`);
  if (!STORAGE_OF_DTYPE[entry.dtype])
    throw new Error(
      `${entry.file}: '${name}' must be ${DTYPES.slice(0, -1).join(', ')} or ${DTYPES.at(-1)} but is ${entry.dtype}`,
    );
  return {name: name!, entry};
}

const DTYPES = Object.keys(STORAGE_OF_DTYPE);

/** A Llama in float64 that decodes row by row, with any choice of the keys that a row sees. Tests compare `evaluate` with it. */
import * as fs from 'node:fs';
import * as path from 'node:path';

import {readConfig, type LlamaConfig} from '../../models/hf/config.js';
import {ropeFrequencies} from '../../models/llama/rope.js';
import {nucleus, rmsNorm, rotaryEmbedding} from '../reference.js';

/** What a method may look at when it chooses keys for one row in one KV head of a layer. */
export interface Sight {
  layer: number;
  kvHead: number;
  /** position of the row */
  t: number;
  /** vectors of the query heads that share the KV head */
  queries: Float64Array[];
  /** keys of the KV head, up to the row's own */
  keys: Float64Array[];
  /** Attention weights over all keys up to t: the mean over the heads of the layer or of the KV head. */
  attention: (unit: 'layer' | 'head') => Float64Array;
}

/** Chooses the keys that a row sees. */
export type Sees = (sight: Sight) => Iterable<number>;

export interface Decoded {
  /** −log p of the token after each row, in nats */
  nll: number[];
  /** attention weights, mean over heads: [layer][row][key] */
  attention: Float64Array[][];
  /** keys and values: [layer][row][KV head] */
  caches: Cache[];
}

interface Cache {
  keys: Float64Array[][];
  values: Float64Array[][];
}

/** A refresh: for rows before `before(t)` the row at t reads the keys and values of another decoding. */
export interface Renewed {
  caches: Cache[];
  before: (t: number) => number;
}

/** Runs the model in the folder `dir` over all tokens but the last. */
export function decode(dir: string, tokens: number[], sees: Sees, renewed?: Renewed): Decoded {
  const config = readConfig(dir);
  const weights = readWeights(dir);
  return new Reference(config, weights, renewed).decode(tokens, sees);
}

export const everyKey: Sees = ({t}) => Array(t + 1).keys();

/** StreamingLLM: the first keys and, up to the budget, the last ones. */
export const streamingSees =
  (budget: number, sinks: number): Sees =>
  ({t}) =>
    [...Array(t + 1).keys()].filter((j) => j < sinks || j > t - (budget - sinks));

/** Quest: the page of the row, and the full pages before it whose bounds are highest. */
export const questSees =
  (budget: number, page: number): Sees =>
  ({t, queries, keys}) => {
    const current = Math.floor(t / page);
    const bound = (i: number) => {
      const members = keys.slice(i * page, (i + 1) * page);
      const bounds = queries.map((q) =>
        q.reduce((sum, x, d) => {
          const column = members.map((key) => key[d]);
          return sum + Math.max(x * Math.min(...column), x * Math.max(...column));
        }, 0),
      );
      return Math.max(...bounds);
    };
    const best = Array.from({length: current}, (_, i) => ({i, bound: bound(i)}))
      .sort((a, b) => b.bound - a.bound)
      .slice(0, budget / page - 1)
      .map(({i}) => i);
    return [...Array(t + 1).keys()].filter((j) => [...best, current].includes(Math.floor(j / page)));
  };

/** Oracle: the nucleus of the verifier's attention, of a layer or of each KV head, with sinks and recent keys. */
export const oracleSees =
  (p: number, sinks: number, recent: number, unit: 'layer' | 'head'): Sees =>
  ({t, attention}) => {
    const kept = nucleus(attention(unit), t + 1, p);
    return [...Array(t + 1).keys()].filter((j) => kept.has(j) || j < sinks || j > t - recent);
  };

/** Layers below `denseLayers` and rows before `first` see every key; other rows see what `sees` chooses. */
export const sparselySees =
  (sees: Sees, denseLayers: number, first: number): Sees =>
  (sight) =>
    sight.layer < denseLayers || sight.t < first ? everyKey(sight) : sees(sight);

class Reference {
  constructor(
    private readonly config: LlamaConfig,
    private readonly weights: Map<string, Float32Array>,
    private readonly renewed?: Renewed,
  ) {}

  decode(tokens: number[], sees: Sees): Decoded {
    const {numHiddenLayers: layers, hiddenSize} = this.config;
    const caches: Cache[] = Array.from({length: layers}, () => ({keys: [], values: []}));
    const decoded: Decoded = {nll: [], attention: Array.from({length: layers}, () => []), caches};
    for (let t = 0; t < tokens.length - 1; t++) {
      const embedding = this.weight('model.embed_tokens.weight');
      let x: Float64Array = Float64Array.from(
        embedding.subarray(tokens[t] * hiddenSize, (tokens[t] + 1) * hiddenSize),
      );
      for (let layer = 0; layer < layers; layer++) {
        const {out, weights} = this.attend(layer, t, x, caches[layer], sees);
        decoded.attention[layer].push(weights);
        x = plus(x, this.times(`model.layers.${layer}.self_attn.o_proj.weight`, out));
        x = plus(x, this.mlp(`model.layers.${layer}`, x));
      }
      const logits = this.times(
        this.config.tieWordEmbeddings ? 'model.embed_tokens.weight' : 'lm_head.weight',
        this.norm('model.norm.weight', x),
      );
      const max = logits.reduce((a, b) => Math.max(a, b));
      const sum = logits.reduce((total, logit) => total + Math.exp(logit - max), 0);
      decoded.nll.push(max + Math.log(sum) - logits[tokens[t + 1]]);
    }
    return decoded;
  }

  private attend(
    layer: number,
    t: number,
    x: Float64Array,
    cache: Cache,
    sees: Sees,
  ): {out: Float64Array; weights: Float64Array} {
    const {numAttentionHeads: heads, numKeyValueHeads: kvHeads, headDim: size} = this.config;
    const prefix = `model.layers.${layer}`;
    const normed = this.norm(`${prefix}.input_layernorm.weight`, x);
    const {frequencies, scale} = ropeFrequencies(this.config);
    const project = (name: string) => this.times(`${prefix}.self_attn.${name}_proj.weight`, normed);
    const split = (vector: Float64Array, parts: number) =>
      Array.from({length: parts}, (_, i) => vector.slice(i * size, (i + 1) * size));
    const rotate = (vector: Float64Array, parts: number) =>
      split(rotaryEmbedding(vector, [1, parts, size], t, frequencies, scale), parts);
    const queries = rotate(project('q'), heads);
    cache.keys.push(rotate(project('k'), kvHeads));
    cache.values.push(split(project('v'), kvHeads));
    const past = (name: keyof Cache) =>
      cache[name].map((row, j) =>
        this.renewed && j < this.renewed.before(t) ? this.renewed.caches[layer][name][j] : row,
      );
    const [allKeys, allValues] = [past('keys'), past('values')];

    const queriesPerKvHead = heads / kvHeads;
    const weightsOf = (head: number, seen: number[]) => {
      const kvHead = Math.floor(head / queriesPerKvHead);
      const scores = seen.map((j) => dot(queries[head], allKeys[j][kvHead]) / Math.sqrt(size));
      const max = Math.max(...scores);
      const exps = scores.map((score) => Math.exp(score - max));
      const sum = exps.reduce((a, b) => a + b, 0);
      return exps.map((value) => value / sum);
    };
    const mean = new Float64Array(t + 1);
    const all = [...Array(t + 1).keys()];
    const attentionOf = (kvHead: number) => (unit: 'layer' | 'head') => {
      const [first, count] = unit === 'layer' ? [0, heads] : [kvHead * queriesPerKvHead, queriesPerKvHead];
      const row = new Float64Array(t + 1);
      for (let head = first; head < first + count; head++)
        weightsOf(head, all).forEach((weight, j) => (row[j] += weight / count));
      return row;
    };
    const out = new Float64Array(heads * size);
    for (let head = 0; head < heads; head++) {
      const kvHead = Math.floor(head / queriesPerKvHead);
      const shared = queries.slice(kvHead * queriesPerKvHead, (kvHead + 1) * queriesPerKvHead);
      const keys = allKeys.map((row) => row[kvHead]);
      const seen = [...sees({layer, kvHead, t, queries: shared, keys, attention: attentionOf(kvHead)})];
      weightsOf(head, seen).forEach((weight, n) => {
        mean[seen[n]] += weight / heads;
        for (let d = 0; d < size; d++) out[head * size + d] += weight * allValues[seen[n]][kvHead][d];
      });
    }
    return {out, weights: mean};
  }

  private mlp(prefix: string, x: Float64Array): Float64Array {
    const normed = this.norm(`${prefix}.post_attention_layernorm.weight`, x);
    const gate = this.times(`${prefix}.mlp.gate_proj.weight`, normed);
    const up = this.times(`${prefix}.mlp.up_proj.weight`, normed);
    return this.times(
      `${prefix}.mlp.down_proj.weight`,
      gate.map((value, i) => (value / (1 + Math.exp(-value))) * up[i]),
    );
  }

  private norm(name: string, x: Float64Array): Float64Array {
    return rmsNorm(x, this.weight(name), this.config.rmsNormEps);
  }

  /** A matrix [N,K] times x [K]. */
  private times(name: string, x: Float64Array): Float64Array {
    const matrix = this.weight(name);
    return Float64Array.from({length: matrix.length / x.length}, (_, n) =>
      dot(matrix.subarray(n * x.length, (n + 1) * x.length), x),
    );
  }

  private weight(name: string): Float32Array {
    return this.weights.get(name)!;
  }
}

function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

function plus(a: Float64Array, b: Float64Array): Float64Array {
  return a.map((value, i) => value + b[i]);
}

/** The tensors of a float32 safetensors file. */
function readWeights(dir: string): Map<string, Float32Array> {
  const file = fs.readFileSync(path.join(dir, 'model.safetensors'));
  const begin = 8 + Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.toString('utf8', 8, begin)) as Record<
    string,
    {data_offsets: [number, number]}
  >;
  return new Map(
    Object.entries(header).map(
      ([
        name,
        {
          data_offsets: [from, to],
        },
      ]) => [
        name,
        new Float32Array(file.buffer.slice(file.byteOffset + begin + from, file.byteOffset + begin + to)),
      ],
    ),
  );
}

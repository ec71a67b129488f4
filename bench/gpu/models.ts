/** Sections that time whole models of random weights: one step and its parts, reading a prompt, and loading a model folder. */
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import * as tf from '@tensorflow/tfjs-core';

import {Llama} from '../../models/llama/llama.js';
import {causalAttention, linear, rotaryAppend} from '../../ops/index.js';
import {parameters} from '../../models/llama/parameters.js';
import {median, round} from '../statistics.js';
import {BLOCK, layerKeyBytes, position, weightBytes, type Bench, type NamedConfig} from './bench.js';
import type {Row, Section} from './report.js';

/** Rows of a step: plain decoding, and a block of a round. */
const ROWS = [1, BLOCK];

/** Arbitrary tokens of the vocabulary, int32 [count]. */
const tokensOf = (count: number, vocabulary: number): tf.Tensor1D =>
  tf.tensor1d(
    Int32Array.from({length: count}, (_, i) => (i * 7919 + 11) % vocabulary),
    'int32',
  );

/** One step of each model over a filled cache. */
export function step(bench: Bench): Section {
  const rows: Row[] = [];
  for (const named of bench.configs) {
    const model = bench.model(named);
    for (const keys of bench.sizes.stepKeys) {
      const cache = bench.filledCache(model, keys);
      for (const count of ROWS) {
        const us = stepTime(bench, model, cache, count, keys);
        const bytes = weightBytes(model) + model.config.numHiddenLayers * layerKeyBytes(model, keys);
        rows.push(bench.report.row(`step/${named.name}/${count}x${keys}`, us, bytes));
        if (keys === bench.sizes.stepKeys[0]) rows.push(...parts(bench, named, count, keys, us));
      }
      tf.dispose(cache);
      bench.trim();
    }
  }
  return {
    name: 'step',
    note: "One step (rows x keys), with the logits of every row; the keys include those of the rows themselves. The rows below a step time its parts, each one alone at its shape with inputs that are not in the L2 cache. 'all parts' is their sum. The floor is the time to read the weights (without the embedding) and the keys and values once.",
    rows,
  };
}

function stepTime({timer}: Bench, model: Llama, cache: tf.Tensor3D[], count: number, keys: number): number {
  const tokens = tokensOf(count, model.config.vocabSize);
  const at = position(keys - count);
  const [us] = timer.stretches((mark) => {
    tf.tidy(() => void model.forward({tokens, position: at, cache, outputs: ['logits']}));
    mark();
  });
  tf.dispose([tokens, at]);
  return us;
}

/** Times each launch of a layer, and the head, alone at the shapes of a step that took `stepUs`. */
function parts(bench: Bench, {name, config}: NamedConfig, rows: number, keys: number, stepUs: number): Row[] {
  const {timer, report} = bench;
  const {hiddenSize, intermediateSize, numAttentionHeads, numKeyValueHeads, headDim} = config;
  const {numHiddenLayers: layers, vocabSize} = config;
  const queries = numAttentionHeads * headDim;
  const width = queries + 2 * numKeyValueHeads * headDim;
  const norm = tf.ones<tf.Rank.R1>([hiddenSize]);
  const residual = bench.random<tf.Tensor2D>([rows, hiddenSize]);
  const list: Row[] = [];
  let sum = 0;
  const add = (part: string, times: number, bytes: number, calls: (() => unknown)[]) => {
    const us = timer.time(calls);
    sum += times * us;
    const id = `step/${name}/${rows}x${keys}/${part}`;
    list.push(
      report.row(id, us, bytes, {'times a step': times, 'share %': round((100 * times * us) / stepUs)}),
    );
  };
  const product = (part: string, times: number, n: number, k: number, options: object) => {
    const bytes = 2 * n * k;
    const weights = bench.copies(bytes, () => bench.random([n, k], 'bfloat16', Math.sqrt(3 / k)));
    const x = bench.random([rows, k]);
    add(
      part,
      times,
      bytes,
      weights.map((weight) => () => linear(x, weight, options)),
    );
    tf.dispose([...weights, x]);
  };
  product('qkv', layers, width, hiddenSize, {norm});

  const cacheBytes = 2 * 2 * numKeyValueHeads * headDim * keys;
  const caches = bench.copies(cacheBytes, () =>
    [0, 1].map(() => bench.random<tf.Tensor3D>([numKeyValueHeads, keys, headDim], 'bfloat16')),
  );
  const qkv = bench.random<tf.Tensor2D>([rows, width]);
  const q = bench.random<tf.Tensor3D>([rows, numAttentionHeads, headDim]);
  const frequencies = tf.fill<tf.Rank.R1>([headDim / 2], 0.1);
  const at = position(keys - rows);
  add(
    'append',
    layers,
    4 * rows * width,
    caches.map(
      ([k, v]) =>
        () =>
          rotaryAppend(qkv, at, frequencies, k, v),
    ),
  );
  add(
    'attention',
    layers,
    cacheBytes,
    caches.map(
      ([k, v]) =>
        () =>
          causalAttention(q, k, v, at),
    ),
  );
  tf.dispose([...caches.flat(), qkv, q, frequencies, at]);

  product('out', layers, hiddenSize, queries, {residual});
  product('gate_up', layers, 2 * intermediateSize, hiddenSize, {norm, gated: true});
  product('down', layers, hiddenSize, intermediateSize, {residual});
  product('head', 1, vocabSize, hiddenSize, {norm});
  tf.dispose([norm, residual]);
  list.push(
    report.row(`step/${name}/${rows}x${keys}/all parts`, sum, undefined, {
      'share %': round((100 * sum) / stepUs),
    }),
  );
  return list;
}

/** Reads a prompt with each model, in the chunks that `generate` uses, timed by the host's clock. */
export async function prefill(bench: Bench): Promise<Section> {
  const rows: Row[] = [];
  for (const named of bench.configs) {
    const model = bench.model(named);
    const chunk = model.prefillRows;
    for (const count of bench.sizes.prefillTokens) {
      const cache = model.newCache(count);
      const us = await bench.timer.wall(() => {
        for (let from = 0; from < count; from += chunk)
          tf.tidy(() => {
            const size = Math.min(chunk, count - from);
            const last = from + size === count;
            model.forward({
              tokens: tokensOf(size, named.config.vocabSize),
              position: position(from),
              cache,
              outputs: last ? ['lastLogits'] : [],
            });
          });
      });
      const {numHiddenLayers, numAttentionHeads, headDim} = named.config;
      // A row takes two operations per parameter, and a parameter has two bytes: so one operation per byte. The head,
      // which only the last row passes, is left out.
      const products = (weightBytes(model) - 2 * named.config.vocabSize * named.config.hiddenSize) * count;
      const attention = 2 * numHiddenLayers * numAttentionHeads * headDim * count * count; // half, since causal
      const extra = {TFLOPS: round((products + attention) / us / 1e6), 'tokens/s': round((count * 1e6) / us)};
      rows.push(bench.report.row(`prefill/${named.name}/${count}`, us, undefined, extra));
      tf.dispose(cache);
      bench.trim();
    }
  }
  return {
    name: 'prefill',
    note: `A prompt is read in the chunks that generate uses, op by op, and gives the logits of the last row. Each time is the median of 3 runs by the host's clock.`,
    rows,
  };
}

/**
 * Loads a Hugging Face folder: `folder`, or a made-up one of the verifier's shape. An untimed first load leaves the
 * file in the system's page cache.
 */
export async function loading(bench: Bench, folder: string | undefined): Promise<Section> {
  bench.disposeModels();
  const [{name, config}] = bench.configs;
  const dir = folder ?? writeFolder(bench.configs[0]);
  try {
    let bytes = 0;
    const samples: number[] = [];
    for (let run = -1; run < 3; run++) {
      const start = performance.now();
      const model = await Llama.load(dir, {onProgress: ({total}) => (bytes = total)});
      bench.backend.synchronize();
      if (run >= 0) samples.push((performance.now() - start) * 1e3);
      model.dispose();
      bench.trim();
    }
    const us = median(samples);
    const extra = {seconds: round(us / 1e6), GB: round(bytes / 1e9), 'GB/s': round(bytes / us / 1e3)};
    return {
      name: 'loading',
      note: `Llama.load of ${folder ?? `a folder of the shape of ${name}, with ${parameters(config).length} weights in one file`}. The file is in the system's page cache. Each load allocates its memory on the device anew. The time is the median of 3 loads, after one that is not counted.`,
      rows: [bench.report.row(`loading/${folder ? path.basename(folder) : name}`, us, undefined, extra)],
    };
  } finally {
    if (!folder) fs.rmSync(dir, {recursive: true});
  }
}

/** File system type of tmpfs, as statfs reports it. */
const TMPFS = 0x01021994;

/**
 * Writes config.json and a safetensors file of zeros, and returns their folder. The weights are a hole in a sparse
 * file, which takes no disk space but is cached page by page when it is read, like other data. On tmpfs all holes share
 * one page, so there the zeros are written.
 */
function writeFolder({config, name}: NamedConfig): string {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), `specattn-${name}-`));
  try {
    fs.writeFileSync(
      path.join(dir, 'config.json'),
      JSON.stringify({
        architectures: ['LlamaForCausalLM'],
        vocab_size: config.vocabSize,
        hidden_size: config.hiddenSize,
        intermediate_size: config.intermediateSize,
        num_hidden_layers: config.numHiddenLayers,
        num_attention_heads: config.numAttentionHeads,
        num_key_value_heads: config.numKeyValueHeads,
        head_dim: config.headDim,
        tie_word_embeddings: config.tieWordEmbeddings,
        attention_bias: config.qkvBias,
        mlp_bias: config.mlpBias,
      }),
    );
    let end = 0;
    const header: Record<string, unknown> = {};
    for (const source of parameters(config).flatMap(({sources}) => sources)) {
      const begin = end;
      end += 2 * tf.util.sizeFromShape(source.shape);
      header[source.name] = {dtype: 'BF16', shape: source.shape, data_offsets: [begin, end]};
    }
    const json = Buffer.from(JSON.stringify(header));
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(json.length));
    const fd = fs.openSync(path.join(dir, 'model.safetensors'), 'w');
    try {
      fs.writeSync(fd, Buffer.concat([length, json]));
      const chunk = Buffer.alloc(2 ** 26);
      if (fs.statfsSync(dir).type !== TMPFS) fs.ftruncateSync(fd, 8 + json.length + end);
      else for (let at = 0; at < end;) at += fs.writeSync(fd, chunk, 0, Math.min(chunk.length, end - at));
    } finally {
      fs.closeSync(fd);
    }
    return dir;
  } catch (error) {
    fs.rmSync(dir, {recursive: true});
    throw error;
  }
}

import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import * as fs from 'node:fs';
import * as path from 'node:path';

import {
  Llama,
  type LlamaInput,
  type LlamaLoadOptions,
  type LlamaOutput,
  type LlamaResult,
} from '../../models/llama/llama.js';
import {BACKEND, type SpecAttnBackend} from '../../backend/index.js';
import {SAME_BITS_ROWS, forEachBackend, isCuda, isNative, onBackend} from '../backends.js';
import {expectClose, expectSame, meanError} from '../compare.js';
import {copyModel} from './folder.js';
import {goldens, readGolden, tiny, type Golden} from './golden.js';

const TOLERANCE = {relative: 0, absolute: 2e-3};

/** Runs `body` with a model, which is disposed of afterwards. */
async function withLlama(
  dir: string,
  body: (llama: Llama) => void | Promise<void>,
  options: LlamaLoadOptions = {dtype: 'float32'},
): Promise<void> {
  const llama = await Llama.load(dir, options);
  try {
    await body(llama);
  } finally {
    llama.dispose();
  }
}

function run(
  llama: Llama,
  tokens: number[],
  position: number,
  cache: tf.Tensor3D[],
  rest: Pick<LlamaInput, 'outputs' | 'attention' | 'selection'>,
): LlamaResult {
  return llama.forward({
    tokens: tf.tensor1d(tokens, 'int32'),
    position: tf.tensor1d([position], 'int32'),
    cache,
    ...rest,
  });
}

/** A safetensors file in memory, and where the bytes of its tensors are. */
function safetensorsHeader(file: string) {
  const bytes = fs.readFileSync(file);
  const length = Number(bytes.readBigUInt64LE());
  const header = JSON.parse(bytes.toString('utf8', 8, 8 + length)) as Record<
    string,
    {data_offsets: [number, number]}
  >;
  const place = (name: string) => {
    const [begin, end] = header[name].data_offsets;
    return {begin: 8 + length + begin, end: 8 + length + end};
  };
  return {bytes, place};
}

/** Renames a tensor of a model. The new name must not be longer; spaces after the header make up for a shorter one. */
function rename(dir: string, from: string, to: string): void {
  const file = path.join(dir, 'model.safetensors');
  const bytes = fs.readFileSync(file);
  const length = Number(bytes.readBigUInt64LE());
  const header = bytes
    .toString('utf8', 8, 8 + length)
    .replace(`"${from}"`, `"${to}"`)
    .padEnd(length);
  bytes.write(header, 8);
  fs.writeFileSync(file, bytes);
}

/** The rows of `logits` [T,V] whose values the golden file holds. */
function knownRows(logits: Float32Array, {rows, tokens}: Golden): Float32Array {
  const vocabulary = logits.length / tokens.length;
  return Float32Array.from(
    rows.flatMap((row) => [...logits.subarray(row * vocabulary, (row + 1) * vocabulary)]),
  );
}

/** Logits [T,V] of all rows, computed in calls of `step` tokens. */
function logitsInSteps(llama: Llama, tokens: number[], step: number): Float32Array {
  let cache = llama.newCache(tokens.length + 3);
  const pieces: tf.Tensor2D[] = [];
  for (let at = 0; at < tokens.length; at += step) {
    const result = run(llama, tokens.slice(at, at + step), at, cache, {outputs: ['logits']});
    pieces.push(result.logits!);
    cache = result.cache;
  }
  return tf.concat(pieces).dataSync() as Float32Array;
}

forEachBackend('Llama', (backend) => {
  for (const golden of goldens) {
    it(`gives the logits of transformers: ${golden.name}`, () =>
      withLlama(golden.model, (llama) => {
        const together = logitsInSteps(llama, golden.tokens, golden.tokens.length);
        expectClose(knownRows(together, golden), golden.logits, TOLERANCE);
      }));
  }

  for (const golden of tiny) {
    it(`gives the same logits token by token and in blocks: ${golden.name}`, () =>
      withLlama(golden.model, (llama) => {
        for (const step of [1, 7])
          expectClose(logitsInSteps(llama, golden.tokens, step), golden.logits, TOLERANCE);
      }));
  }

  it('takes the head for the embedding where a tied model stores the head alone', async () => {
    const dir = copyModel(readGolden('mha_tied_f32').model);
    rename(dir, 'model.embed_tokens.weight', 'lm_head.weight');
    const {tokens, logits} = readGolden('mha_tied_f32');
    await withLlama(dir, (llama) =>
      expectClose(logitsInSteps(llama, tokens, tokens.length), logits, TOLERANCE),
    );
  });

  it('keeps one matrix where a tied model stores the head as well', async () => {
    const file = path.join(copyModel(readGolden('tied_and_head_f16').model), 'model.safetensors');
    const header = safetensorsHeader(file);
    const [from, to] = ['model.embed_tokens.weight', 'lm_head.weight'].map((name) => header.place(name));
    header.bytes.copy(header.bytes, to.begin, from.begin, from.end);
    fs.writeFileSync(file, header.bytes);
    let own = 0;
    await withLlama(readGolden('tied_and_head_f16').model, ({numBytes}) => void (own = numBytes));
    await withLlama(path.dirname(file), ({config, numBytes}) => {
      expect(config.tieWordEmbeddings).to.equal(true);
      expect(own - numBytes).to.equal(61 * 16 * 4);
    });
  });

  it('has a window for sparse attention too', () =>
    withLlama(readGolden('mistral_window_f32').model, (llama) => {
      const {tokens} = readGolden('mistral_window_f32');
      const cacheOf = () => run(llama, tokens.slice(0, 20), 0, llama.newCache(40), {outputs: []}).cache;
      const block = tokens.slice(20, 23);
      const dense = run(llama, block, 20, cacheOf(), {outputs: ['logits']}).logits!.dataSync();
      const keys = Array.from({length: 40}, (_, j) => (j < 23 ? j : 0));
      const bits = keys.map((_, j) => [0, 1, 2].reduce((b, t) => b | (j <= 20 + t ? 1 << t : 0), 0));
      const selection = {
        keys: tf.tensor2d([keys], undefined, 'int32'),
        bits: tf.tensor2d([bits], undefined, 'int32'),
        counts: tf.tensor1d([23], 'int32'),
        sets: [0, 0, 0],
        setsPerLayer: 1,
      };
      const sparse = run(llama, block, 20, cacheOf(), {outputs: ['logits'], selection}).logits!.dataSync();
      if (isNative(backend)) expectSame(sparse, dense);
      else expectClose(sparse, dense, {relative: 1e-4, absolute: 1e-5});
    }));

  it('chooses the frequencies of LongRoPE by the length of the cache', () =>
    withLlama(readGolden('longrope_long_f32').model, (llama) => {
      const logits = (capacity: number) =>
        run(llama, [3, 1, 4], 0, llama.newCache(capacity), {outputs: ['logits']}).logits!.dataSync();
      expectSame(logits(16), logits(4));
      expectSame(logits(17), logits(64));
      expect(logits(16)).not.to.deep.equal(logits(17));
    }));

  it('computes only the last row for lastLogits, and no logits if none are asked for', () =>
    withLlama(tiny[0].model, async (llama) => {
      const {tokens} = tiny[0];
      const kernels = async (outputs: LlamaInput['outputs']) => {
        const profile = await tf.profile(() => run(llama, tokens, 0, llama.newCache(64), {outputs}).cache);
        return profile.kernels;
      };
      const {logits, lastLogits} = run(llama, tokens, 0, llama.newCache(64), {
        outputs: ['logits', 'lastLogits'],
      });
      expect(lastLogits!.shape).to.deep.equal([1, llama.config.vocabSize]);
      expectClose(lastLogits!.dataSync(), logits!.dataSync().slice(-llama.config.vocabSize), {
        relative: 1e-5,
        absolute: 1e-5,
      });
      const vocabularies = async (outputs: LlamaInput['outputs']) =>
        (await kernels(outputs))
          .flatMap(({outputShapes}) => outputShapes)
          .filter((shape) => shape.at(-1) === 99);
      expect(await vocabularies([])).to.deep.equal([]);
      expect(await vocabularies(['lastLogits'])).to.deep.include([1, 99]);
      expect(await vocabularies(['lastLogits'])).not.to.deep.include([tokens.length, 99]);
    }));

  it('gives attention of the layers asked for, in their order, by layer and by head', () =>
    withLlama(readGolden('gqa_linear_f16').model, (llama) => {
      const tokens = [5, 9, 2, 7];
      const layers = [2, 0];
      const ask = (granularity: 'layer' | 'head') =>
        run(llama, tokens, 0, llama.newCache(6), {
          outputs: ['attention', 'attentionRows'],
          attention: {granularity, layers},
        });
      const [byLayer, byHead] = [ask('layer'), ask('head')];
      expect(byLayer.attention!.shape).to.deep.equal([2, 6]);
      expect(byHead.attention!.shape).to.deep.equal([8, 6]);
      expect(byLayer.attentionRows!.map(({shape}) => shape)).to.deep.equal([
        [4, 6],
        [4, 6],
      ]);
      expect(byHead.attentionRows!.map(({shape}) => shape)).to.deep.equal([
        [4, 4, 6],
        [4, 4, 6],
      ]);
      layers.forEach((_, i) => {
        const heads = byHead.attentionRows![i];
        expectClose(byLayer.attentionRows![i].dataSync(), tf.mean(heads, 0).dataSync());
        expectSame(
          tf.slice(byLayer.attention!, [i, 0], [1, 6]).dataSync(),
          tf.slice(byLayer.attentionRows![i], [3, 0], [1, 6]).dataSync(),
        );
        expectSame(
          tf.slice(byHead.attention!, [4 * i, 0], [4, 6]).dataSync(),
          tf.slice(heads, [0, 3, 0], [4, 1, 6]).dataSync(),
        );
      });
      // Attention of some heads of each layer.
      const heads = [[3, 1], [2]].map((list) => tf.tensor1d(list, 'int32'));
      const some = run(llama, tokens, 0, llama.newCache(6), {
        outputs: ['attention', 'attentionRows'],
        attention: {granularity: 'head', layers, heads},
      });
      heads.forEach((named, i) =>
        expectSame(
          some.attentionRows![i].dataSync(),
          tf.gather(byHead.attentionRows![i], named, 0).dataSync(),
        ),
      );
      expectSame(
        some.attention!.dataSync(),
        tf.gather(byHead.attention!, tf.tensor1d([3, 1, 6], 'int32'), 0).dataSync(),
      );
      expect(byLayer.attentionRows![0].dataSync()).not.to.deep.equal(byLayer.attentionRows![1].dataSync());
      const sums = tf.sum(byLayer.attentionRows![0], 1).dataSync();
      expectClose(sums, [1, 1, 1, 1]);
    }));

  for (const setsPerLayer of [1, 2]) {
    it(`sees only the selected keys: ${setsPerLayer} sets a layer`, () =>
      withLlama(readGolden('gqa_linear_f16').model, (llama) => {
        const capacity = 24;
        const context = [5, 9, 2, 7, 60, 61, 62, 63, 64, 65];
        const block = [11, 12, 13];
        const cacheOf = () => run(llama, context, 0, llama.newCache(capacity), {outputs: []}).cache;
        const verified = (list: number[], sets: number[], outputs: LlamaOutput[]) => {
          const row = [...list, ...new Array<number>(capacity - list.length).fill(0)];
          const bits = list.map((key) => [0, 1, 2].reduce((b, t) => b | (key <= 10 + t ? 1 << t : 0), 0));
          const bitRow = [...bits, ...new Array<number>(capacity - list.length).fill(0)];
          const repeat = <T>(x: T) => Array.from({length: 3 * setsPerLayer}, () => x);
          return run(llama, block, 10, cacheOf(), {
            outputs,
            selection: {
              keys: tf.tensor2d(repeat(row), undefined, 'int32'),
              bits: tf.tensor2d(repeat(bitRow), undefined, 'int32'),
              counts: tf.tensor1d(repeat(list.length), 'int32'),
              sets,
              setsPerLayer,
            },
          });
        };
        const verify = (list: number[], sets: number[]) =>
          verified(list, sets, ['logits']).logits!.dataSync();
        const everything = Array.from({length: 13}, (_, i) => i);
        const sets = [-1, 0, setsPerLayer];
        const dense = run(llama, block, 10, cacheOf(), {outputs: ['logits']}).logits!.dataSync();
        if (isNative(backend)) expectSame(verify(everything, sets), dense);
        else expectClose(verify(everything, sets), dense, {relative: 1e-4, absolute: 1e-5});
        const few = verify([0, 10, 11, 12], sets);
        expect(few).not.to.deep.equal(dense);
        // With every key selected, the weights of a set are those of dense attention, averaged over the heads that read the set.
        const {setWeights, logits} = verified(everything, sets, ['logits', 'setWeights']);
        expect(setWeights!.shape).to.deep.equal([2 * setsPerLayer, 3, capacity]);
        if (isNative(backend)) expectSame(logits!.dataSync(), dense);
        const {attentionRows} = run(llama, block, 10, cacheOf(), {
          outputs: ['attentionRows'],
          attention: {granularity: 'head', layers: [1, 2]},
        });
        const bySet = tf.concat(
          attentionRows!.map((rows) => tf.mean(tf.reshape(rows, [setsPerLayer, -1, 3, capacity]), 1)),
        );
        expectClose(setWeights!.dataSync(), bySet.dataSync(), {relative: 1e-4, absolute: 1e-6});
        // If every layer is dense, the selection has no effect.
        expectClose(verify([0, 10, 11, 12], [-1, -1, -1]), dense, {relative: 1e-4, absolute: 1e-5});
      }));
  }

  it('keeps only the caches after a tidy, over many calls', () =>
    withLlama(tiny[0].model, (llama) => {
      let cache = llama.newCache(64);
      const counts: number[] = [];
      for (let i = 0; i < 12; i++) {
        const next = tf.tidy(() => run(llama, [i], i, cache, {outputs: ['lastLogits']}).cache);
        tf.dispose(cache);
        cache = next;
        counts.push(tf.memory().numTensors);
      }
      expect(new Set(counts.slice(1)).size).to.equal(1);
    }));

  it('frees everything, and then refuses to run', async () => {
    const before = tf.memory();
    const llama = await Llama.load(tiny[0].model);
    expect(llama.numBytes).to.be.greaterThan(10_000);
    llama.dispose();
    expect(tf.memory().numTensors).to.equal(before.numTensors);
    expect(tf.memory().numBytes).to.equal(before.numBytes);
    expect(() => run(llama, [1], 0, [], {outputs: []})).to.throw('[Llama] the model was disposed of');
  });

  it('reports progress up to the end', async () => {
    const seen: {loaded: number; total: number}[] = [];
    await withLlama(tiny[0].model, () => {}, {onProgress: (progress) => seen.push(progress)});
    const loads = seen.map(({loaded}) => loaded);
    expect(loads).to.deep.equal([...loads].sort((a, b) => a - b));
    expect(seen.at(-1)!.loaded).to.equal(seen.at(-1)!.total);
  });

  describe('refuses, leaving nothing allocated,', () => {
    const cases: [string, (dir: string) => void, string | RegExp][] = [
      [
        'a folder without weights',
        (dir) => fs.rmSync(path.join(dir, 'model.safetensors')),
        'must hold model.safetensors or model.safetensors.index.json but holds neither',
      ],
      [
        'weights of another shape',
        (dir) => edit(dir, {intermediate_size: 40}),
        "'model.layers.0.mlp.gate_proj.weight' must have shape [40,32] but has [48,32]",
      ],
      [
        'more layers than there are weights for',
        (dir) => edit(dir, {num_hidden_layers: 4}),
        "the weights must hold 'model.layers.3.input_layernorm.weight' [32] but do not",
      ],
      [
        'more layers than memory holds',
        (dir) => edit(dir, {num_hidden_layers: 2 ** 31 - 1}),
        "the weights must hold 'model.layers.3.input_layernorm.weight' [32] but do not",
      ],
      [
        'an untied head without weights',
        (dir) => edit(dir, {tie_word_embeddings: false}),
        "the weights must hold 'lm_head.weight' [99,32] but do not",
      ],
      [
        'weights that are not floats',
        (dir) => {
          const file = path.join(dir, 'model.safetensors');
          fs.writeFileSync(file, fs.readFileSync(file, 'latin1').replace('"F32"', '"I32"'), 'latin1');
        },
        /' must be F32, F64, F16 or BF16 but is I32$/,
      ],
      [
        'a truncated file',
        (dir) => fs.truncateSync(path.join(dir, 'model.safetensors'), 50_000),
        /data_offsets must be within the file's \d+ bytes of data but is \[\d+,\d+\]/,
      ],
    ];
    const edit = (dir: string, changes: object) => {
      const file = path.join(dir, 'config.json');
      fs.writeFileSync(file, JSON.stringify({...JSON.parse(fs.readFileSync(file, 'utf8')), ...changes}));
    };
    for (const [what, spoil, message] of cases) {
      it(what, async () => {
        const dir = copyModel(readGolden('mha_tied_f32').model);
        spoil(dir);
        const before = tf.memory().numTensors;
        const error = await Llama.load(dir).then(
          () => undefined,
          (error: Error) => error,
        );
        expect(error?.message).to.match(typeof message === 'string' ? RegExp(escape(message)) : message);
        expect(tf.memory().numTensors).to.equal(before);
      });
    }
    const escape = (text: string) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');

    it('a call that does not fit', () =>
      withLlama(tiny[0].model, (llama) => {
        const call = (rest: Parameters<typeof run>[4]) => () => run(llama, [1], 0, llama.newCache(4), rest);
        expect(() => run(llama, [1], 0, [], {outputs: []})).to.throw(
          '[Llama] cache must have 6 tensors but has 0',
        );
        expect(call({outputs: ['attention']})).to.throw('need attention');
        expect(call({outputs: ['hidden' as 'logits']})).to.throw(
          "[Llama] outputs must be of logits, lastLogits, attention, attentionRows, setWeights, layerOutputs but one is 'hidden'",
        );
        expect(call({outputs: ['setWeights']})).to.throw('need a selection');
        const attention = {granularity: 'layer' as const, layers: [3]};
        expect(call({outputs: ['attention'], attention})).to.throw('different layers below 3 but is [3]');
        const heads = [tf.tensor1d([0], 'int32')];
        expect(
          call({outputs: ['attention'], attention: {granularity: 'layer', layers: [2], heads}}),
        ).to.throw("[Llama] attention's heads can be named by 'head' alone, not by 'layer'");
        expect(
          call({outputs: ['attention'], attention: {granularity: 'head', layers: [1, 2], heads}}),
        ).to.throw('[Llama] attention must name heads of 2 layers but does of 1');
        expect(() => llama.newCache(0)).to.throw('[Llama] capacity must be a whole number >= 1 but is 0');
      }));
  });
});

onBackend(BACKEND, 'Llama, natively', () => {
  it('gives a row the same bits alone and in a block', () =>
    withLlama(
      readGolden('pretrained_draft').model,
      (llama) => {
        const {tokens} = readGolden('pretrained_draft');
        const alone = logitsInSteps(llama, tokens, 1);
        expect(tokens.length).to.be.greaterThan(SAME_BITS_ROWS);
        for (const step of [5, 11, SAME_BITS_ROWS]) expectSame(logitsInSteps(llama, tokens, step), alone);
        const together = logitsInSteps(llama, tokens, tokens.length);
        // In a block of more rows CUDA rounds activations to bfloat16, the type of the weights.
        if (isCuda()) expect(meanError(together, alone)).to.be.below(0.01);
        else expectSame(together, alone);
      },
      {},
    ));

  it('gives attention with a few more kernels, whatever the number of layers', () =>
    withLlama(tiny[0].model, (llama) => {
      const {numHiddenLayers} = llama.config;
      const layers = Array.from({length: numHiddenLayers}, (_, i) => i);
      const state = [tf.tensor1d([3, 4], 'int32'), tf.tensor1d([5], 'int32'), ...llama.newCache(64)];
      const launches = (outputs: LlamaOutput[]) => {
        const captured = (tf.backend() as SpecAttnBackend).capture(state, ([tokens, position, ...cache]) => {
          const given = llama.forward({
            tokens: tokens as tf.Tensor1D,
            position: position as tf.Tensor1D,
            cache: cache as tf.Tensor3D[],
            outputs,
            attention: {granularity: 'layer', layers},
          });
          const results = [given.lastLogits!, ...(given.attention ? [given.attention] : [])];
          return {state: [tokens, position, ...given.cache], outputs: results};
        });
        const count = captured.launches;
        captured.dispose();
        return count;
      };
      const plain = launches(['lastLogits']);
      expect(plain).to.be.at.least(6 * numHiddenLayers);
      // The additional launches: the deferred softmax (CUDA only), the concatenation of all layers' weights, and the cut of the last row.
      expect(launches(['lastLogits', 'attention']) - plain).to.be.within(2, 3);
    }));

  for (const name of ['biases_f32', 'qwen3_window_f32', 'smollm3_window_f32', 'granite_f32'])
    it(`runs six kernels a layer, and one for the head: ${name}`, () => sixKernels(name));

  const sixKernels = (name: string) =>
    withLlama(readGolden(name).model, async (llama) => {
      const {kernels} = await tf.profile(
        () => run(llama, [1, 2], 0, llama.newCache(4), {outputs: ['logits']}).cache,
      );
      const launches = kernels
        .map(({name}) => name)
        .filter((name) => !['Identity', 'Reshape'].includes(name));
      const layer = ['Linear', 'RotaryAppend', 'CausalAttention', 'Linear', 'Linear', 'Linear'];
      const layers = Array.from({length: llama.config.numHiddenLayers}, () => layer).flat();
      const scaled = llama.config.logitsScaling === 1 ? [] : ['Multiply'];
      expect(launches.slice(launches.indexOf('Linear'))).to.deep.equal([...layers, 'Linear', ...scaled]);
    });

  for (const dtype of ['bfloat16', 'float16'] as const) {
    it(`stores matrices as ${dtype} in half the bytes, with logits near enough`, async () => {
      const golden = readGolden('pretrained_draft');
      let wide = 0;
      await withLlama(golden.model, (llama) => void (wide = llama.numBytes));
      await withLlama(
        golden.model,
        (llama) => {
          expect(llama.numBytes / wide).to.be.within(0.5, 0.505);
          const logits = knownRows(logitsInSteps(llama, golden.tokens, golden.tokens.length), golden);
          // On CUDA activations are rounded too.
          const absolute = (dtype === 'float16' ? 0.02 : 0.1) * (isCuda() ? 2 : 1);
          expectClose(logits, golden.logits, {absolute});
        },
        {dtype},
      );
    });
  }
});

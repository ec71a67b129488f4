/** Tests of a device's memory after long work, after failed allocations, and after models were loaded and disposed of. */
import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';

import type {SpecAttnBackend} from '../../backend/index.js';
import type {GenerateOptions} from '../../src/options.js';
import {causalAttention} from '../../ops/index.js';
import {onBackend} from '../backends.js';
import {expectClose} from '../compare.js';
import {memory, passage, refusal, tinyPair, withModel} from '../decoding/models.js';
import {onCuda} from './on_cuda.js';

const native = () => tf.backend() as SpecAttnBackend;

/** Tensors, and the buffers and bytes in use that the device counts. */
function used() {
  const {bytesInUse, buffers} = native().device.memory();
  return {...memory(), bytesInUse, buffers};
}

/** {@link used}, and the bytes that the allocator reserves. */
function held() {
  return {...used(), bytesReserved: native().device.memory().bytesReserved};
}

onBackend('specattn', 'memory of long work', () => {
  for (const verification of ['dense', 'sparse'] as const) {
    it(`is the same after 500 rounds: ${verification}`, () =>
      withModel({}, async (lm) => {
        const options: GenerateOptions = {verification, gamma: 2, maxNewTokens: 300, seed: 1};
        const texts = [1, 2, 3].map((i) => passage(i).slice(0, 300));
        const write = async (i: number) => (await lm.generate(texts[i % 3], options)).stats.rounds;
        // Each text is written twice. A cached buffer also serves slightly smaller requests, so the cache settles the second time.
        for (let i = 0; i < 6; i++) await write(i);
        const before = held();
        let rounds = 0;
        for (let i = 0; rounds < 500; i++) {
          rounds += await write(i);
          expect(held(), `after ${rounds} rounds`).to.deep.equal(before);
        }
      })).timeout(120_000);
  }

  it('is the same after two pairs were loaded and disposed of one after the other', async () => {
    const loadBoth = async () => {
      for (const pair of [{}, tinyPair()])
        await withModel(pair, async (lm) => {
          await lm.generate('It was', {maxNewTokens: 12, gamma: 2});
        });
      native().device.trim();
      return held();
    };
    const first = await loadBoth();
    for (let i = 0; i < 3; i++) expect(await loadBoth()).to.deep.equal(first);
  }).timeout(120_000);
});

onCuda('memory', () => {
  const floats = (bytes: number) =>
    tf.engine().makeTensorFromTensorInfo(native().output([bytes / 4], 'float32'));

  it('beyond what is free is refused with both numbers, and smaller work still runs', async () => {
    const {device} = native();
    device.trim();
    const {bytesFree} = device.memory();
    const asked = 4 * Math.ceil(bytesFree / 2);
    const before = held();
    const message = await refusal(async () => floats(asked));
    const [, bytes, free] = /^\[allocate\] (\d+) bytes asked for on device cuda: (\d+) bytes are free/.exec(
      message,
    )!;
    expect(Number(bytes)).to.equal(asked);
    // CUDA frees memory in pages of 2 MB, and some of it late.
    expect(Number(free)).to.be.within(0.9 * bytesFree, bytesFree + 2 ** 25);
    expect(held()).to.deep.equal(before);

    const x = tf.ones([1000, 1000]);
    const product = tf.matMul(x as tf.Tensor2D, x as tf.Tensor2D).dataSync();
    expect([product[0], product[999_999]]).to.deep.equal([1000, 1000]);
    expect(native().device.memory().bytesFree).to.be.above(0.9 * bytesFree);
  });

  it('beyond what is free is refused within a capture, and the next capture works', async () => {
    const {device} = native();
    device.trim();
    const asked = 4 * Math.ceil(device.memory().bytesFree / 2);
    const state = tf.tensor1d([1, 2]);
    const message = await refusal(async () =>
      native().capture([state], ([x]) => ({state: [tf.add(x, tf.slice(floats(asked), 0, 2))], outputs: []})),
    );
    expect(message).to.contain(`[allocate] ${asked} bytes asked for on device cuda`);
    const captured = native().capture([state], ([x]) => ({state: [tf.add(x, x)], outputs: []}));
    captured.replay();
    captured.replay();
    expect([...state.dataSync()]).to.deep.equal([4, 8]);
    captured.dispose();
  });

  it('that ran out while many tensors were made can be used again once they are freed', async () => {
    const {device} = native();
    device.trim();
    const quarter = 4 * Math.ceil(device.memory().bytesFree / 16);
    const message = await refusal(async () =>
      tf.tidy(() => {
        for (let i = 0; i < 5; i++) floats(quarter);
      }),
    );
    expect(message).to.contain('bytes asked for on device cuda');
    const most = floats(3 * quarter); // freed memory serves a larger buffer
    most.dispose();
  });

  it('for the workspace of a kernel comes from the cache of the allocator, and its lack is an error that names the kernel', async () => {
    const {device} = native();
    const [rows, heads, MB] = [31, 32, 2 ** 20];
    /** Attention whose scores take `bytes` bytes. */
    const attention = (bytes: number) => {
      const keys = Math.floor(bytes / (4 * rows * heads));
      const q = tf.ones<tf.Rank.R3>([rows, heads, 8]);
      const k = tf.ones<tf.Rank.R3>([1, keys, 8]);
      const at = tf.tensor1d([keys - rows], 'int32');
      const sum = () => tf.sum(causalAttention(q, k, k, at, {weights: 'layer'})[1]);
      return {q, k, at, sum};
    };
    const expectRows = (sum: tf.Tensor) => expectClose(sum.dataSync(), [rows], {relative: 1e-3});
    const [eager, replayed, refused] = [400, 560, 1500].map((size) => attention(size * MB));
    device.trim();
    const filler: tf.Tensor[] = [];
    const tooMuch = () => device.memory().bytesFree - 1300 * MB;
    while (tooMuch() > 4 * MB) filler.push(floats(4 * Math.floor(Math.min(tooMuch(), 4096 * MB) / 4)));
    /** Leaves `size` MB of the remaining 1,300 MB in the allocator's cache, where only tensors can use them. */
    const keep = (size: number) => floats(size * MB).dispose();
    try {
      keep(1000);
      expectRows(eager.sum());
      keep(600);
      const captured = native().capture([], () => ({state: [], outputs: [replayed.sum()]}));
      captured.replay();
      expectRows(captured.outputs[0]);
      captured.dispose();
      const message = await refusal(async () => refused.sum());
      expect(message).to.match(
        /^\[allocate\] \[CausalAttention\] no memory for \d+ bytes of scores: \d+ bytes are free$/,
      );
      expectRows(eager.sum());
    } finally {
      tf.dispose(filler);
      device.trim();
    }
  }).timeout(60_000);

  it('is as before after an answer that was left half-way, and the next answer is the same', () =>
    withModel({}, async (lm) => {
      const options: GenerateOptions = {maxNewTokens: 60, seed: 4, temperature: 0.8};
      const prompt = passage(1).slice(0, 900);
      const {tokens} = await lm.generate(prompt, options);
      const before = used();
      for (let pieces = 1; pieces < 8; pieces += 3) {
        let left = pieces;
        for await (const _ of lm.stream(prompt, options)) if (--left === 0) break;
        expect(used(), `left after ${pieces} pieces`).to.deep.equal(before);
        const signal = new AbortController();
        left = pieces;
        const onText = () => --left === 0 && signal.abort();
        const {finishReason} = await lm.generate(prompt, {...options, onText, signal: signal.signal});
        expect(finishReason).to.equal('aborted');
        expect(used(), `aborted after ${pieces} pieces`).to.deep.equal(before);
      }
      expect((await lm.generate(prompt, options)).tokens).to.deep.equal(tokens);
      expect(used()).to.deep.equal(before);
    })).timeout(60_000);
});

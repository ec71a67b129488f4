/** Tests of models with random weights, and of the random numbers that these weights are. */
import * as path from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';

import {readConfig} from '../../models/hf/config.js';
import {Llama} from '../../models/llama/llama.js';
import {makeRandom, type FloatStorage} from '../../models/llama/weights.js';
import {packageRoot} from '../../backend/addon.js';
import type {SpecAttnBackend} from '../../backend/index.js';
import {forEachBackend, onBackend} from '../backends.js';
import {expectClose, expectSame} from '../compare.js';
import {memory} from '../decoding/models.js';

const DRAFT = path.join(packageRoot, 'models', 'pretrained', 'draft');

/** The hash mix32 of `docs/architecture.md`. */
function mix32(x: number): number {
  x ^= x >>> 16;
  x = Math.imul(x, 0x21f0aaad);
  x ^= x >>> 15;
  x = Math.imul(x, 0x735a2d97);
  return (x ^ (x >>> 15)) >>> 0;
}

const element = (seed: number, i: number) => (mix32(seed ^ mix32(i)) >>> 8) / 2 ** 23 - 1;

/** The values of a random tensor, which is disposed of. */
function values(shape: number[], storage: FloatStorage, seed: number, scale: number): Float32Array {
  const made = makeRandom(shape, storage, seed, scale);
  try {
    return made.dataSync() as Float32Array;
  } finally {
    made.dispose();
  }
}

forEachBackend('makeRandom', () => {
  it('is spread evenly over [-scale, scale)', () => {
    const all = values([500, 401], 'float32', 7, 3);
    const n = all.length;
    const mean = all.reduce((sum, x) => sum + x, 0) / n;
    const variance = all.reduce((sum, x) => sum + (x - mean) ** 2, 0) / n;
    expect(all.every((x) => x >= -3 && x < 3)).to.equal(true);
    // The tolerances are five standard deviations of the mean and of the variance of n such numbers.
    expect(mean).to.be.closeTo(0, (5 * Math.sqrt(3)) / Math.sqrt(n));
    expect(variance).to.be.closeTo(3, (5 * 9 * Math.sqrt(4 / 45)) / Math.sqrt(n));
    const quarters = [0, 0, 0, 0];
    for (const x of all) quarters[Math.floor((x + 3) / 1.5)]++;
    for (const quarter of quarters) expect(quarter / n).to.be.closeTo(0.25, 0.01);
    let products = 0;
    for (let i = 1; i < n; i++) products += all[i] * all[i - 1];
    expect(products / n, 'neighbours').to.be.closeTo(0, (5 * 3) / Math.sqrt(n));
  });

  it('gives the same numbers for the same seed, and others for another', () => {
    expectSame(values([33, 31], 'float32', 1, 2), values([33, 31], 'float32', 1, 2));
    const [one, two] = [values([999], 'float32', 1, 2), values([999], 'float32', 2, 2)];
    expect(one.filter((x, i) => x === two[i]).length).to.be.below(3);
  });
});

onBackend('specattn', 'Random', () => {
  const backend = () => tf.backend() as SpecAttnBackend;

  it('is the hash of its seed and each index', () => {
    for (const seed of [0, 1, 2 ** 32 - 1]) {
      const expected = Float32Array.from({length: 1000}, (_, i) => Math.fround(element(seed, i)) * 1.75);
      expectSame(values([1000], 'float32', seed, 1.75), expected);
    }
  });

  for (const [storage, relative] of [
    ['bfloat16', 2 ** -8],
    ['float16', 2 ** -11],
  ] as const) {
    it(`is stored as ${storage}, to nearest`, () => {
      const made = makeRandom([3, 111], storage, 5, 2);
      expect(backend().storageOf(made)).to.equal(storage);
      expectClose(made.dataSync(), values([3, 111], 'float32', 5, 2), {relative, absolute: 1e-7});
      made.dispose();
    });
  }

  it('fills tensors of any size', () => {
    for (const shape of [[0], [1], [7, 1], [40000]])
      expect(values(shape, 'bfloat16', 1, 1)).to.have.lengthOf(shape[0]);
    expect(values([9], 'float32', 1, 0).every((x) => x === 0)).to.equal(true);
  });

  it('refuses invalid seeds and scales', () => {
    expect(() => makeRandom([2], 'float32', -1, 1)).to.throw('[Random] seed must be a whole number');
    expect(() => makeRandom([2], 'float32', 2 ** 32, 1)).to.throw('[Random] seed must be a whole number');
    expect(() => makeRandom([2], 'float32', 0.5, 1)).to.throw('[Random] seed must be a whole number');
    expect(() => makeRandom([2], 'float32', 1, Infinity)).to.throw('[Random] scale must be finite');
    expect(() => makeRandom([2], 'float32', 1, -1)).to.throw('[Random] scale must be finite');
    expect(() => backend().launch('Random', [], [tf.zeros([2], 'int32')], [1, 1])).to.throw(
      '[Random] output must be float32, bfloat16 or float16 but is int32',
    );
  });

  it('makes a Llama whose logits are finite, and the same for a seed', () => {
    const config = readConfig(DRAFT);
    const before = memory();
    const logits = (seed: number) => {
      const llama = Llama.random(config, {seed});
      const result = tf.tidy(() => {
        const cache = llama.newCache(32);
        expect(backend().storageOf(cache[0])).to.equal('bfloat16');
        const tokens = tf.tensor1d([1, 2, 3], 'int32');
        return llama
          .forward({tokens, position: tf.tensor1d([0], 'int32'), cache, outputs: ['logits']})
          .logits!.dataSync()
          .slice() as Float32Array;
      });
      llama.dispose();
      return result;
    };
    const first = logits(1);
    expect(first.every(Number.isFinite)).to.equal(true);
    const variance = first.reduce((sum, x) => sum + x * x, 0) / first.length;
    expect(variance, 'of the logits').to.be.within(0.5, 2);
    expectSame(logits(1), first);
    expect(logits(2).filter((x, i) => x === first[i]).length).to.be.below(first.length / 100);
    expect(memory()).to.deep.equal(before);
  });

  it('is used by benchmarks with configurations of the known sizes', () => {
    for (const [name, gigabytes] of [
      ['llama-2-7b', 13.5],
      ['tinyllama-1.1b', 2.2],
    ] as const) {
      const config = readConfig(path.join(packageRoot, 'bench', 'gpu', 'configs', `${name}.json`));
      const {hiddenSize, intermediateSize, numHiddenLayers, numKeyValueHeads, headDim, vocabSize} = config;
      const layer =
        2 * hiddenSize * (hiddenSize + numKeyValueHeads * headDim) + 3 * hiddenSize * intermediateSize;
      const parameters = numHiddenLayers * layer + 2 * vocabSize * hiddenSize;
      expect((2 * parameters) / 1e9).to.be.closeTo(gigabytes, 0.05);
    }
  });

  it('makes a Llama that knows the bytes of its weights', () => {
    const llama = Llama.random(readConfig(DRAFT), {dtype: 'float16'});
    expect(llama.cacheBytesPerElement).to.equal(2);
    expect(llama.numBytes).to.be.above(3e6);
    llama.dispose();
  });
});

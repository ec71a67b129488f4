/** Tests that a kernel whose launch or allocation fails frees what it made and keeps no reference to its inputs. */
import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';

import type {SpecAttnBackend} from '../../backend/index.js';
import {
  causalAttention,
  kvCacheAppend,
  linear,
  nucleusSelect,
  rotaryAppend,
  sampleToken,
} from '../../ops/index.js';
import {onBackend} from '../backends.js';
import {narrow} from '../storage.js';

const floats = (...shape: number[]) => tf.ones(shape);
const integers = (...shape: number[]) => tf.ones(shape, 'int32');
const bools = (...shape: number[]) => tf.ones(shape, 'bool');

type Program = [inputs: () => tf.Tensor[], run: (...inputs: never[]) => unknown];

const PROGRAMS: Record<string, Program> = {
  'a sum': [() => [floats(2, 3)], (x: tf.Tensor) => tf.sum(x, 0)],
  'a cast': [() => [floats(2, 3)], (x: tf.Tensor) => tf.cast(x, 'int32')],
  'a concat of several dtypes': [
    () => [floats(2), integers(2), bools(2)],
    (...xs: tf.Tensor[]) => tf.engine().runKernel('Concat', xs as never, {axis: 0}),
  ],
  'a stack': [() => [floats(2), floats(2)], (...xs: tf.Tensor[]) => tf.stack(xs)],
  'a split': [() => [floats(6, 2)], (x: tf.Tensor) => tf.split(x, 3)],
  'an unstack': [() => [floats(3, 2)], (x: tf.Tensor) => tf.unstack(x)],
  'a choice by row between two dtypes': [
    () => [bools(2), floats(2, 3), integers(2, 3)],
    (condition: tf.Tensor, t: tf.Tensor, e: tf.Tensor) =>
      tf.engine().runKernel('Select', {condition, t, e} as never),
  ],
  'a gather by floats': [
    () => [floats(3, 2), floats(4)],
    (x: tf.Tensor, indices: tf.Tensor) =>
      tf.engine().runKernel('GatherV2', {x, indices} as never, {axis: 0, batchDims: 0}),
  ],
  'a gather': [() => [floats(3, 2), integers(4)], (x: tf.Tensor, i: tf.Tensor1D) => tf.gather(x, i)],
  'a one-hot': [() => [integers(4)], (x: tf.Tensor) => tf.oneHot(x, 3)],
  'a draw': [() => [floats(2, 5)], (x: tf.Tensor2D) => tf.multinomial(x, 3, 1)],
  'the top k': [() => [floats(2, 5)], (x: tf.Tensor) => tf.topk(x, 2)],
  'a product of broadcast batches': [
    () => [floats(2, 1, 3, 4), floats(1, 5, 4, 2)],
    (a: tf.Tensor, b: tf.Tensor) => tf.matMul(a, b),
  ],
  'a fused product': [
    () => [floats(2, 3), floats(3, 4), floats(4), floats(4)],
    (a: tf.Tensor2D, b: tf.Tensor2D, bias: tf.Tensor, preluActivationWeights: tf.Tensor) =>
      tf.fused.matMul({a, b, bias, activation: 'prelu', preluActivationWeights}),
  ],
  'a projection whose inputs are widened': [
    () =>
      tf.tidy(() => [
        floats(2, 3),
        floats(4, 3),
        narrow(floats(3), 'bfloat16'),
        narrow(floats(4), 'float16'),
      ]),
    (x: tf.Tensor, weight: tf.Tensor, norm: tf.Tensor, bias: tf.Tensor) =>
      linear(x, weight, {norm, bias, gated: true}),
  ],
  'a sum of many': [() => [floats(2), floats(2), floats(2), floats(2)], (...xs: tf.Tensor[]) => tf.addN(xs)],
  'a convolution with bias and activation': [
    () => [floats(1, 3, 3, 2), floats(2, 2, 2, 3), floats(3), floats(3)],
    (x: tf.Tensor4D, filter: tf.Tensor4D, bias: tf.Tensor, preluActivationWeights: tf.Tensor) =>
      tf.fused.conv2d({
        ...{x, filter, bias, preluActivationWeights, strides: 1},
        ...{pad: 'same', activation: 'prelu'},
      }),
  ],
  'a convolution of each channel': [
    () => [floats(1, 3, 3, 2), floats(2, 2, 2, 3), floats(6)],
    (x: tf.Tensor4D, filter: tf.Tensor4D, bias: tf.Tensor) =>
      tf.fused.depthwiseConv2d({x, filter, bias, strides: 1, pad: 'same', activation: 'relu'}),
  ],
  'the gradient of a convolution with strides': [
    () => [floats(1, 2, 2, 3), floats(2, 2, 2, 3)],
    (dy: tf.Tensor, filter: tf.Tensor) =>
      tf.engine().runKernel('Conv2DBackpropInput', {dy, filter} as never, {
        ...{strides: 2, pad: 'same', dataFormat: 'NHWC', inputShape: [1, 4, 4, 2]},
      }),
  ],
  'the gradient of a filter': [
    () => [floats(1, 3, 3, 2), floats(1, 3, 3, 3)],
    (x: tf.Tensor, dy: tf.Tensor) =>
      tf.engine().runKernel('Conv2DBackpropFilter', {x, dy} as never, {
        ...{strides: 1, pad: 'same', dataFormat: 'NHWC', filterShape: [2, 2, 2, 3]},
      }),
  ],
  'the largest of windows': [() => [floats(1, 3, 3, 2)], (x: tf.Tensor4D) => tf.maxPool(x, 2, 1, 'same')],
  'the mean of windows': [() => [floats(1, 3, 3, 2)], (x: tf.Tensor4D) => tf.avgPool(x, 2, 1, 'same')],
  'a diagonal': [() => [floats(3)], (x: tf.Tensor) => tf.diag(x)],
  'space cut into blocks': [() => [floats(2, 3, 4)], (x: tf.Tensor) => tf.spaceToBatchND(x, [2], [[0, 1]])],
  'blocks put together and cropped': [
    () => [floats(4, 3, 2)],
    (x: tf.Tensor) => tf.batchToSpaceND(x, [2], [[1, 0]]),
  ],
  'a batch norm': [
    () => [floats(2, 2, 2, 3), floats(3), floats(3), floats(3), floats(3)],
    (x: tf.Tensor4D, ...rest: tf.Tensor1D[]) => tf.batchNorm4d(x, rest[0], rest[1], rest[2], rest[3]),
  ],
  'a sum of products over axes that lie elsewhere': [
    () => [floats(3, 2, 4, 5), floats(2, 6, 4)],
    (a: tf.Tensor, b: tf.Tensor) => tf.einsum('jbis,bki->kbj', a, b),
  ],
  'products of all pairs': [
    () => [floats(3), floats(4)],
    (a: tf.Tensor, b: tf.Tensor) => tf.einsum('i,j->ji', a, b),
  ],
  'slices at places': [
    () => [floats(3, 2), integers(4, 1)],
    (x: tf.Tensor, places: tf.Tensor) => tf.gatherND(x, places),
  ],
  'a scatter': [
    () => [integers(4, 1), floats(4, 2)],
    (places: tf.Tensor, updates: tf.Tensor) => tf.scatterND(places as tf.Tensor2D, updates, [3, 2]),
  ],
  'sums of bools by segment': [
    () => [bools(4, 2), integers(4)],
    (x: tf.Tensor, ids: tf.Tensor) => tf.unsortedSegmentSum(x, ids as tf.Tensor1D, 3),
  ],
  'counts by row': [
    () => [integers(2, 3), tf.tensor2d([], [0, 0])],
    (x: tf.Tensor2D, weights: tf.Tensor2D) => tf.denseBincount(x, weights, 3),
  ],
  attention: [
    () => [floats(2, 4, 8), floats(2, 6, 8), tf.tensor1d([1], 'int32')],
    (q: tf.Tensor, kv: tf.Tensor, position: tf.Tensor) =>
      causalAttention(q, kv, kv, position, {weights: 'head'}),
  ],
  'a selection': [
    () => [floats(2, 6), floats(3, 2), floats(3), tf.tensor1d([1], 'int32')],
    (step: tf.Tensor, mix: tf.Tensor, p: tf.Tensor, position: tf.Tensor) =>
      nucleusSelect([step], mix, p, position),
  ],
  'a write into a cache': [
    () => [floats(2, 6, 8), floats(3, 2, 8), tf.tensor1d([1], 'int32')],
    (cache: tf.Tensor, rows: tf.Tensor, position: tf.Tensor) => kvCacheAppend(cache, rows, position),
  ],
  'rotated rows and a write into both caches': [
    () => [floats(3, 48), tf.tensor1d([1], 'int32'), floats(4), floats(2, 6, 8), floats(2, 6, 8)],
    (qkv: tf.Tensor, position: tf.Tensor, frequencies: tf.Tensor, k: tf.Tensor, v: tf.Tensor) =>
      rotaryAppend(qkv, position, frequencies, k, v),
  ],
  'a sampled token': [
    () => [floats(1, 9), integers(2), tf.tensor1d([1], 'int32')],
    (logits: tf.Tensor, seed: tf.Tensor, position: tf.Tensor) =>
      sampleToken(logits, seed, position, {temperature: 1}),
  ],
};

onBackend('specattn', 'kernels that fail half-way', () => {
  /** Runs `work` while call number `at` of a backend method throws. Returns whether `work` made that call. */
  function failing(method: 'launch' | 'output', at: number, work: () => unknown): boolean {
    const backend = tf.backend() as SpecAttnBackend;
    const original = backend[method].bind(backend) as (...args: unknown[]) => unknown;
    let calls = 0;
    let failed = false;
    backend[method] = ((...args: unknown[]) => {
      if (calls++ !== at) return original(...args);
      failed = true;
      throw new Error('it failed');
    }) as never;
    try {
      tf.tidy(() => void work());
    } catch (error) {
      expect((error as Error).message).to.equal('it failed');
    } finally {
      delete (backend as Partial<SpecAttnBackend>)[method];
    }
    return failed;
  }

  const held = () => [tf.memory().numTensors, tf.engine().backend.numDataIds(), tf.memory().numBytes];

  for (const [what, [inputs, run]] of Object.entries(PROGRAMS)) {
    for (const method of ['launch', 'output'] as const) {
      it(`${what}: any ${method} may fail`, () => {
        const empty = held();
        const given = inputs();
        const before = held();
        let failures = 0;
        while (failing(method, failures, () => run(...(given as never[])))) {
          expect(held(), `after failure ${failures}`).to.deep.equal(before);
          failures++;
        }
        if (what !== 'a write into a cache' || method === 'launch') expect(failures).to.be.at.least(1);
        expect(held(), 'after success').to.deep.equal(before);
        // A reference that a kernel kept would hold the buffer of an input.
        tf.dispose(given);
        expect(held(), 'without the inputs').to.deep.equal(empty);
      });
    }
  }
});

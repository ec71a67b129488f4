/**
 * A device may defer the softmax of attention weights until something reads them (deferred softmax). These tests check that the weights
 * are the same as those made at once, whatever happens to inputs, memory and captures in between.
 */
import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';

import {causalAttention, rotaryAppend, sparseAttention} from '../../ops/index.js';
import type {SpecAttnBackend} from '../../backend/index.js';
import {isCuda, onBackend} from '../backends.js';
import {expectSame} from '../compare.js';
import {narrow} from '../storage.js';
import {Random} from '../random.js';

const native = () => tf.backend() as SpecAttnBackend;

const [ROWS, HEADS, KV_HEADS, SIZE, CAPACITY] = [3, 4, 2, 32, 700];
const POSITION = 300;

/** Storages of the caches. Half-stored caches take other kernels, which start before the previous kernel has ended. */
const STORAGES = ['float32', 'bfloat16'] as const;

class Inputs {
  readonly q: tf.Tensor3D;
  readonly k: tf.Tensor3D;
  readonly v: tf.Tensor3D;
  readonly position = tf.tensor1d([POSITION], 'int32');
  /** Every third key; the row masks in `bits` hide some of them from some rows. */
  readonly keys: tf.Tensor2D;
  readonly bits: tf.Tensor2D;
  readonly counts: tf.Tensor1D;
  readonly heads = tf.tensor1d([3, 0], 'int32');

  constructor(seed: number, storage: (typeof STORAGES)[number]) {
    const random = new Random(`deferred softmax ${seed}`);
    const store = (x: tf.Tensor3D) => (storage === 'float32' ? x : narrow(x, storage));
    this.q = tf.tensor3d(random.normals(ROWS * HEADS * SIZE, 2), [ROWS, HEADS, SIZE]);
    this.k = store(tf.tensor3d(random.normals(KV_HEADS * CAPACITY * SIZE), [KV_HEADS, CAPACITY, SIZE]));
    this.v = store(tf.tensor3d(random.normals(KV_HEADS * CAPACITY * SIZE), [KV_HEADS, CAPACITY, SIZE]));
    const places = Array.from({length: CAPACITY}, (_, i) => i);
    this.keys = tf.tensor2d(
      places.map((i) => (3 * i < CAPACITY ? 3 * i : 0)),
      [1, CAPACITY],
      'int32',
    );
    this.bits = tf.tensor2d(
      places.map((i) => 1 + (i % 7)),
      [1, CAPACITY],
      'int32',
    );
    this.counts = tf.tensor1d([Math.ceil(CAPACITY / 3)], 'int32');
  }
}

const KINDS = ['layer', 'head', 'some heads', 'sparse'] as const;
type Kind = (typeof KINDS)[number];

function weightsOf(kind: Kind, {q, k, v, position, keys, bits, counts, heads}: Inputs): tf.Tensor {
  if (kind === 'sparse') return sparseAttention(q, k, v, {keys, bits, counts}, {weights: true})[1];
  if (kind === 'some heads') return causalAttention(q, k, v, position, {weights: 'head', heads})[1];
  return causalAttention(q, k, v, position, {weights: kind as 'layer'})[1];
}

/** A copy in a new buffer of the same storage. */
function copy<T extends tf.Tensor>(x: T): T {
  const made = native().output(x.shape, x.dtype as 'float32', native().storageOf(x) as 'float32');
  native().launch('Copy', [x], [made]);
  return tf.engine().makeTensorFromTensorInfo(made) as T;
}

/** The weights, read immediately after their call. */
const atOnce = (kind: Kind, inputs: Inputs) => tf.tidy(() => weightsOf(kind, inputs).dataSync().slice());

onBackend('specattn', 'attention weights whose softmax is deferred', () => {
  for (const [kind, storage] of KINDS.flatMap((kind) =>
    STORAGES.map((storage) => [kind, storage] as const),
  )) {
    const what = `${kind}, ${storage}`;
    it(`are right for more calls than one launch takes, read in reverse order (${what})`, () => {
      const inputs = Array.from({length: 5}, (_, seed) => new Inputs(seed, storage));
      const expected = inputs.map((one) => atOnce(kind, one));
      const weights = Array.from({length: 75}, (_, i) => weightsOf(kind, inputs[i % 5]));
      for (let i = 74; i >= 0; i--) expectSame(weights[i].dataSync(), expected[i % 5]);
    });

    it(`do not change when their inputs change after the call (${what})`, () => {
      const inputs = new Inputs(5, storage);
      const expected = atOnce(kind, inputs);
      const byHost = weightsOf(kind, inputs);
      const {position, q, k, keys, bits, counts, heads} = inputs;
      native().assign(position, Int32Array.of(3));
      native().assign(counts, Int32Array.of(1));
      expectSame(byHost.dataSync(), expected);

      native().assign(position, Int32Array.of(POSITION));
      native().assign(counts, Int32Array.of(Math.ceil(CAPACITY / 3)));
      for (const input of [position, q, k, keys, bits, counts, heads]) {
        const before = tf.clone(input);
        const kept = copy(before);
        const weights = weightsOf(kind, inputs);
        native().launch('Copy', [tf.zerosLike(input)], [input]);
        native().launch('Copy', [kept], [input]);
        native().launch('Copy', [tf.zerosLike(input)], [input]);
        expectSame(weights.dataSync(), expected);
        native().launch('Copy', [kept], [input]);
      }
    });

    it(`are not written into memory that belongs to another tensor by then (${what})`, () => {
      const inputs = new Inputs(6, storage);
      const {size} = weightsOf(kind, inputs);
      for (const give of [() => {}, () => native().device.trim()]) {
        const weights = Array.from({length: 3}, () => weightsOf(kind, inputs));
        tf.dispose(weights);
        give();
        const owners = Array.from({length: 3}, (_, i) => tf.fill([size], i + 1));
        owners.forEach((owner, i) => expect(new Set(owner.dataSync())).to.deep.equal(new Set([i + 1])));
      }
    });

    it(`can be inputs and outputs of the next launch (${what})`, () => {
      const inputs = new Inputs(7, storage);
      const expected = atOnce(kind, inputs);
      const doubled = expected.map((x) => 2 * x);
      const one = weightsOf(kind, inputs);
      expectSame(tf.add(one, one).dataSync(), doubled);
      const two = weightsOf(kind, inputs);
      native().launch('Copy', [tf.zerosLike(two)], [two]);
      expect(new Set(two.dataSync())).to.deep.equal(new Set([0]));
      const all = tf.stack([weightsOf(kind, inputs), weightsOf(kind, inputs)]).dataSync();
      expectSame(all, Float32Array.from([...expected, ...expected]));
    });

    it(`are made within a capture if their call was captured, and outside it if not (${what})`, () => {
      const inputs = new Inputs(8, storage);
      const {position} = inputs;
      const expected = atOnce(kind, inputs);
      const state = tf.zerosLike(weightsOf(kind, inputs));
      const early = weightsOf(kind, inputs);
      const captured = native().capture([state, position], ([, at]) => {
        const next = weightsOf(kind, inputs);
        const read = tf.add(next, tf.zerosLike(next));
        native().device.mark();
        return {
          state: [weightsOf(kind, inputs), tf.add(at, tf.fill([1], 1, 'int32'))],
          outputs: [read, weightsOf(kind, inputs), tf.mul(weightsOf(kind, inputs), tf.fill([1], 2))],
        };
      });
      try {
        for (let i = 0; i < 3; i++) {
          native().assign(position, Int32Array.of(POSITION + i));
          const now = atOnce(kind, inputs);
          const deferred = weightsOf(kind, inputs);
          const [first, second, third] = captured.replay().read();
          for (const values of [first, second, state.dataSync(), deferred.dataSync()])
            expectSame(values, now);
          expectSame(
            third,
            now.map((x) => 2 * x),
          );
        }
      } finally {
        captured.dispose();
      }
      expectSame(early.dataSync(), expected);
    });
  }

  for (const storage of STORAGES)
    it(`are right for layers in sequence, each of which appends to its cache first (${storage})`, () => {
      const random = new Random('deferred softmax of layers');
      const frequencies = tf.tensor1d(random.normals(SIZE / 2));
      const position = tf.tensor1d([POSITION], 'int32');
      const layers = Array.from({length: 40}, (_, seed) => ({
        ...new Inputs(seed, storage),
        qkv: tf.tensor2d(random.normals((HEADS + 2 * KV_HEADS) * SIZE), [1, (HEADS + 2 * KV_HEADS) * SIZE]),
      }));
      const run = (look: (weights: tf.Tensor) => unknown) =>
        layers.map(({qkv, k, v}) => {
          const [q, keys, values] = rotaryAppend(qkv, position, frequencies, copy(k), copy(v));
          const [out, weights] = causalAttention(q, keys, values, position, {weights: 'layer'});
          look(weights);
          return [out, weights];
        });
      const expected = run((weights) => weights.dataSync()).flat();
      run(() => {})
        .flat()
        .forEach((tensor, i) => expectSame(tensor.dataSync(), expected[i].dataSync()));
    });

  it('are right if their scores take more memory than the workspace has', function () {
    if (!isCuda()) this.skip(); // the CPU device defers nothing, and these shapes are slow there
    const [rows, heads, capacity] = [31, 32, 4096]; // scores take 16 MB a call, in a workspace of 64 MB at first
    const random = new Random('deferred softmax of large calls');
    const make = (keys: number, seed: number) => {
      const q = tf.tensor3d(random.normals(rows * heads * 8, 2 + seed / 10), [rows, heads, 8]);
      const k = narrow(tf.tensor3d(random.normals(keys * 8), [1, keys, 8]), 'bfloat16');
      const at = tf.tensor1d([keys - rows], 'int32');
      return () => causalAttention(q, k, k, at, {weights: 'layer'})[1];
    };
    const calls = [0, 1, 2, 3, 4, 5].map((seed) => make(capacity, seed));
    const larger = make(20_000, 6); // 79 MB of scores
    const expected = [...calls, larger].map((call) => tf.tidy(() => call().dataSync().slice()));
    const all = (step: readonly (() => tf.Tensor)[]) =>
      native().capture([], () => ({state: [], outputs: step.map((call) => call())}));
    const few = all(calls);
    const eager = calls.map((call) => call());
    const many = all([...calls, larger, ...calls]);
    try {
      eager.forEach((weights, i) => expectSame(weights.dataSync(), expected[i]));
      for (let i = 0; i < 2; i++) {
        few
          .replay()
          .read()
          .forEach((weights, n) => expectSame(weights, expected[n]));
        const deferred = larger();
        const values = many.replay().read();
        values.forEach((weights, n) => expectSame(weights, expected[n % 7]));
        expectSame(deferred.dataSync(), expected[6]);
      }
    } finally {
      few.dispose();
      many.dispose();
    }
  });
});

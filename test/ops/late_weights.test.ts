/**
 * A device may make attention's weights when somebody is about to look: whatever happens between, they are what they would have been at
 * once.
 */
import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';

import {causalAttention, sparseAttention} from '../../ops/index.js';
import type {SpecAttnBackend} from '../../src/backend/index.js';
import {onBackend} from '../backends.js';
import {expectSame} from '../compare.js';
import {Random} from '../random.js';

const native = () => tf.backend() as SpecAttnBackend;

const [ROWS, HEADS, GROUPS, SIZE, CAPACITY] = [3, 4, 2, 32, 700];
const POSITION = 300;

class Inputs {
  readonly q: tf.Tensor3D;
  readonly k: tf.Tensor3D;
  readonly v: tf.Tensor3D;
  readonly position = tf.tensor1d([POSITION], 'int32');
  /** Every third key, and rows that see none of some of them. */
  readonly keys: tf.Tensor2D;
  readonly bits: tf.Tensor2D;
  readonly counts: tf.Tensor1D;
  readonly heads = tf.tensor1d([3, 0], 'int32');

  constructor(seed: number) {
    const random = new Random(`late weights ${seed}`);
    this.q = tf.tensor3d(random.normals(ROWS * HEADS * SIZE, 2), [ROWS, HEADS, SIZE]);
    this.k = tf.tensor3d(random.normals(GROUPS * CAPACITY * SIZE), [GROUPS, CAPACITY, SIZE]);
    this.v = tf.tensor3d(random.normals(GROUPS * CAPACITY * SIZE), [GROUPS, CAPACITY, SIZE]);
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

function weigh(kind: Kind, {q, k, v, position, keys, bits, counts, heads}: Inputs): tf.Tensor {
  if (kind === 'sparse') return sparseAttention(q, k, v, {keys, bits, counts}, {weights: true})[1];
  if (kind === 'some heads') return causalAttention(q, k, v, position, {weights: 'head', heads})[1];
  return causalAttention(q, k, v, position, {weights: kind as 'layer'})[1];
}

/** What they are where they are looked at at once. */
const atOnce = (kind: Kind, inputs: Inputs) => tf.tidy(() => weigh(kind, inputs).dataSync().slice());

onBackend('specattn', 'weights that nobody looked at yet', () => {
  for (const kind of KINDS) {
    it(`are right: of more calls than one launch takes, read last to first (${kind})`, () => {
      const inputs = Array.from({length: 5}, (_, seed) => new Inputs(seed));
      const expected = inputs.map((own) => atOnce(kind, own));
      const weights = Array.from({length: 75}, (_, i) => weigh(kind, inputs[i % 5]));
      for (let i = 74; i >= 0; i--) expectSame(weights[i].dataSync(), expected[i % 5]);
    });

    it(`are what they were when their inputs change (${kind})`, () => {
      const inputs = new Inputs(5);
      const expected = atOnce(kind, inputs);
      const byHost = weigh(kind, inputs);
      const {position, q, k, keys, bits, counts, heads} = inputs;
      native().assign(position, Int32Array.of(3));
      native().assign(counts, Int32Array.of(1));
      expectSame(byHost.dataSync(), expected);

      native().assign(position, Int32Array.of(POSITION));
      native().assign(counts, Int32Array.of(Math.ceil(CAPACITY / 3)));
      for (const input of [position, q, k, keys, bits, counts, heads]) {
        const before = tf.clone(input);
        const kept = tf.add(before, tf.zerosLike(before)); // not the same buffer
        const weights = weigh(kind, inputs);
        native().launch('Copy', [tf.zerosLike(input)], [input]);
        native().launch('Copy', [kept], [input]);
        native().launch('Copy', [tf.zerosLike(input)], [input]);
        expectSame(weights.dataSync(), expected);
        native().launch('Copy', [kept], [input]);
      }
    });

    it(`are not written into memory that has another owner by then (${kind})`, () => {
      const inputs = new Inputs(6);
      const bytes = weigh(kind, inputs).size;
      for (const give of [() => {}, () => native().device.trim()]) {
        const weights = Array.from({length: 3}, () => weigh(kind, inputs));
        tf.dispose(weights);
        give();
        const owners = Array.from({length: 3}, (_, i) => tf.fill([bytes], i + 1));
        owners.forEach((owner, i) => expect(new Set(owner.dataSync())).to.deep.equal(new Set([i + 1])));
      }
    });

    it(`may be inputs and outputs of whatever comes next (${kind})`, () => {
      const inputs = new Inputs(7);
      const expected = atOnce(kind, inputs);
      const doubled = expected.map((x) => 2 * x);
      const one = weigh(kind, inputs);
      expectSame(tf.add(one, one).dataSync(), doubled);
      const two = weigh(kind, inputs);
      native().launch('Copy', [tf.zerosLike(two)], [two]);
      expect(new Set(two.dataSync())).to.deep.equal(new Set([0]));
      const all = tf.stack([weigh(kind, inputs), weigh(kind, inputs)]).dataSync();
      expectSame(all, Float32Array.from([...expected, ...expected]));
    });

    it(`are made in a recording where they were recorded, and outside of it where not (${kind})`, () => {
      const inputs = new Inputs(8);
      const {position} = inputs;
      const expected = atOnce(kind, inputs);
      const state = tf.zerosLike(weigh(kind, inputs));
      const early = weigh(kind, inputs);
      const captured = native().capture([state, position], ([, at]) => {
        const next = weigh(kind, inputs);
        const read = tf.add(next, tf.zerosLike(next));
        native().device.mark();
        return {
          state: [weigh(kind, inputs), tf.add(at, tf.fill([1], 1, 'int32'))],
          outputs: [read, weigh(kind, inputs), tf.mul(weigh(kind, inputs), tf.fill([1], 2))],
        };
      });
      try {
        for (let i = 0; i < 3; i++) {
          native().assign(position, Int32Array.of(POSITION + i));
          const own = atOnce(kind, inputs);
          const late = weigh(kind, inputs);
          const [first, second, third] = captured.replay().read();
          for (const values of [first, second, state.dataSync(), late.dataSync()]) expectSame(values, own);
          expectSame(
            third,
            own.map((x) => 2 * x),
          );
        }
      } finally {
        captured.dispose();
      }
      expectSame(early.dataSync(), expected);
    });
  }
});

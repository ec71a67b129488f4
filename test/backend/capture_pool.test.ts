/** Captures of one pool share the memory of their intermediate results, and nothing else. */
import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';

import type {CaptureStep} from '../../backend/capture.js';
import type {SpecAttnBackend, SpecAttnMemoryInfo} from '../../backend/index.js';
import {onBackend} from '../backends.js';

const native = () => tf.backend() as SpecAttnBackend;
const reserved = () => (tf.memory() as SpecAttnMemoryInfo).numBytesInDeviceReserved;

/** Large enough that no buffer of another size class serves a tensor of this size. */
const SIZE = 1_500_001;
const BYTES = 4 * SIZE;
const plus = (x: tf.Tensor, value: number) => tf.add(x, tf.fill([1], value));
const first = (x: tf.Tensor) => x.dataSync()[0];

/** x becomes x + 3, by way of two large tensors; the output is x + 1. */
const step: CaptureStep = ([x]) => {
  const once = plus(x, 1);
  return {state: [plus(plus(once, 1), 1)], outputs: [once]};
};

onBackend('specattn', 'captures of one pool', () => {
  let pool = 0;
  beforeEach(() => {
    native().device.trim();
    pool = native().device.newCapturePool();
  });

  it('take the memory of intermediate results once, and each its own for outputs', () => {
    const state = [tf.zeros([SIZE])];
    const before = reserved();
    const one = native().capture(state, step, pool);
    const ofOne = reserved() - before;
    const others = [1, 2, 3].map(() => native().capture(state, step, pool));
    const ofOthers = reserved() - before - ofOne;
    expect(ofOne).to.be.at.least(3 * BYTES);
    // A size class is at most an eighth larger than what is asked for.
    expect(ofOthers, 'the outputs of three').to.be.within(3 * BYTES, 1.25 * 3 * BYTES);
    const apart = native().capture(state, step);
    expect(reserved() - before - ofOne - ofOthers, 'a capture without a pool').to.be.at.least(2 * BYTES);
    [one, ...others, apart].forEach((capture) => capture.dispose());
    native().device.trim();
    expect(reserved()).to.equal(before);
  });

  it('replay in any order, and keep their outputs until their own next replay', () => {
    const state = [tf.zeros([SIZE])];
    const [a, b] = [native().capture(state, step, pool), native().capture(state, step, pool)];
    let expected = 0;
    const outputs = new Map([
      [a, NaN],
      [b, NaN],
    ]);
    for (const capture of [a, b, b, a, b, a, a]) {
      const replay = capture.replay();
      outputs.set(capture, expected + 1);
      expected += 3;
      expect(first(state[0])).to.equal(expected);
      expect(replay.read()[0][SIZE - 1]).to.equal(outputs.get(capture));
      for (const [other, value] of outputs)
        if (!Number.isNaN(value)) expect(first(other.outputs[0])).to.equal(value);
    }
    a.dispose();
    b.replay();
    expect(first(state[0])).to.equal(expected + 3);
    b.dispose();
  });

  it('keep what a step reads and frees, though it was made before the step', () => {
    const state = [tf.zeros([SIZE])];
    const constant = tf.keep(tf.fill([SIZE], 5));
    const freeing: CaptureStep = ([x]) => {
      const next = tf.add(x, constant);
      constant.dispose();
      return {state: [next], outputs: []};
    };
    const a = native().capture(state, freeing, pool);
    const b = native().capture(state, step, pool); // must not compute in the constant's memory
    for (let i = 1; i <= 3; i++) {
      b.replay();
      a.replay();
      expect(first(state[0])).to.equal(8 * i);
    }
    a.dispose();
    b.dispose();
  });

  it('leave the pool usable when one of them fails', () => {
    const state = [tf.zeros([SIZE])];
    const a = native().capture(state, step, pool);
    const failing: CaptureStep = ([x]) => {
      plus(plus(x, 1), 1);
      throw new Error('the step failed');
    };
    expect(() => native().capture(state, failing, pool)).to.throw('the step failed');
    const b = native().capture(state, step, pool);
    b.replay();
    a.replay();
    expect(first(state[0])).to.equal(6);
    a.dispose();
    b.dispose();
  });

  it('give back the memory that no other of them uses, also when one fails', () => {
    const state = [tf.zeros([SIZE])];
    const a = native().capture(state, step, pool);
    native().device.trim();
    const before = reserved();
    const larger = () => {
      const sum = plus(tf.fill([3 * SIZE], 1), 1);
      return {state, outputs: [tf.sum(sum)]};
    };
    const b = native().capture(state, larger, pool);
    expect(reserved() - before).to.be.at.least(6 * BYTES);
    b.dispose();
    native().device.trim();
    expect(reserved(), 'after a capture').to.equal(before);
    const failing = () => {
      larger();
      throw new Error('the step failed');
    };
    expect(() => native().capture(state, failing, pool)).to.throw('the step failed');
    native().device.trim();
    expect(reserved(), 'after a failure').to.equal(before);
    a.replay();
    expect(first(state[0])).to.equal(3);
    a.dispose();
  });

  it('are refused if a tensor of theirs outlives the step', () => {
    const state = [tf.zeros([SIZE])];
    const a = native().capture(state, step, pool);
    const held = tf.memory().numTensors;
    let kept: tf.Tensor | undefined;
    const keeping: CaptureStep = ([x]) => {
      kept = tf.keep(plus(x, 1));
      return {state: [x], outputs: [kept]};
    };
    expect(() => native().capture(state, keeping, pool)).to.throw(
      `[capture] a tensor of ${BYTES} bytes outlives the step that made it`,
    );
    kept!.dispose();
    expect(tf.memory().numTensors).to.equal(held);
    a.replay();
    expect(first(state[0])).to.equal(3);
    const alone = native().capture(state, keeping);
    alone.replay();
    a.replay();
    expect(first(kept!), 'kept by a capture without a pool').to.equal(4);
    kept!.dispose();
    alone.dispose();
    a.dispose();
  });

  it('are refused for a pool that does not exist', () => {
    const state = [tf.zeros([4])];
    expect(() => native().capture(state, step, pool + 1000)).to.throw(
      `[capture] no pool has the number ${pool + 1000}`,
    );
    const capture = native().capture(state, step, pool);
    capture.dispose();
  });
});

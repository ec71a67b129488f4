import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';

import {nativeBackend} from '../../backend/current.js';
import {LoopState, record, type Launched, type Step} from '../../src/decoding/record.js';
import {forEachBackend, onBackend} from '../backends.js';
import {memory} from './models.js';

/** A counter, a vector that doubles, and one that is never changed. */
const newState = () =>
  new LoopState([tf.tensor1d([0], 'int32'), tf.tensor1d([1, 2, 3]), tf.tensor1d([7], 'int32')]);
const step: Step = ([counter, vector, constant], mark) => {
  const next = tf.add(counter, constant);
  mark('count');
  const doubled = tf.add(vector, vector);
  mark('double');
  return {state: [next, doubled, constant], outputs: [tf.sum(doubled), counter]};
};
const values = (tensors: tf.Tensor[]) => tensors.map((tensor) => [...tensor.dataSync()]);
const read = async (run: Launched) => (await run.read()).map((output) => [...output]);

forEachBackend('record', () => {
  it('carries the state on and hands out what the step gives', async () => {
    const state = newState();
    const recorded = record(state, step);
    expect(values(state.tensors), 'recording runs nothing').to.deep.equal([[0], [1, 2, 3], [7]]);
    for (let run = 1; run <= 5; run++) {
      const [sum, counter] = await read(recorded.run());
      expect(sum).to.deep.equal([6 * 2 ** run]);
      expect(values(state.tensors)).to.deep.equal([[7 * run], [1, 2, 3].map((x) => x * 2 ** run), [7]]);
      expect(counter[0] % 7, 'an output that is the state').to.equal(0);
    }
    const start = performance.now();
    const run = recorded.run();
    await run.read();
    const whole = performance.now() - start;
    const {count, double, ...rest} = run.times();
    expect(rest).to.deep.equal({});
    expect(count).to.be.within(0, whole);
    expect(double).to.be.within(0, whole);
    expect(count + double, 'milliseconds of the phases')
      .to.be.greaterThan(0)
      .and.at.most(whole);
    recorded.dispose();
    state.dispose();
  });

  it('goes on from what the host sets', () => {
    const state = newState();
    const recorded = record(state, step);
    recorded.run();
    state.set(0, [100]);
    state.set(2, [-1]);
    recorded.run();
    expect(values(state.tensors)).to.deep.equal([[99], [4, 8, 12], [-1]]);
    recorded.dispose();
    state.dispose();
  });

  it('has several steps over one state, in any order, and operations between them', () => {
    const state = newState();
    const back: Step = ([counter, vector, constant]) => ({
      state: [tf.sub(counter, constant), tf.mul(vector, vector), constant],
      outputs: [],
    });
    const [forwards, backwards] = [record(state, step), record(state, back)];
    forwards.run();
    forwards.run();
    backwards.run();
    state.advance(([counter, vector, constant]) => [counter, tf.neg(vector), constant]);
    forwards.run();
    expect(values(state.tensors)).to.deep.equal([[14], [-32, -128, -288], [7]]);
    forwards.dispose();
    backwards.run();
    expect(values(state.tensors)[0]).to.deep.equal([7]);
    backwards.dispose();
    state.dispose();
  });

  it('holds no more after many runs than after the first', () => {
    const state = newState();
    const recorded = record(state, step);
    recorded.run();
    const first = memory();
    for (let run = 0; run < 20; run++) {
      recorded.run();
      expect(memory()).to.deep.equal(first);
    }
    recorded.dispose();
    recorded.dispose(); // once more does nothing
    state.dispose();
  });

  it('leaves the state as it was where the step throws', () => {
    const state = newState();
    // tfjs-node gives values to TensorFlow when an op first reads them.
    const {tensorsInTensorFlow: _, ...before} = memory();
    const bad: Step = ([counter]) => {
      tf.add(counter, counter);
      throw new Error('the step failed');
    };
    expect(() => record(state, bad).run()).to.throw('the step failed');
    expect(values(state.tensors)).to.deep.equal([[0], [1, 2, 3], [7]]);
    expect(memory()).to.include(before);
    state.dispose();
  });
});

onBackend('specattn', 'capture', () => {
  const REFUSED: Record<string, [step: Step, message: RegExp]> = {
    'a step that reads data': [
      ([counter, ...rest]) => ({state: [tf.fill([1], counter.dataSync()[0], 'int32'), ...rest], outputs: []}),
      /^\[capture\] data can't be read from the device while launches are recorded$/,
    ],
    'a step that makes a tensor of values': [
      ([counter, ...rest]) => ({state: [tf.add(counter, tf.tensor1d([5], 'int32')), ...rest], outputs: []}),
      /^\[capture\] data can't be written to the device while launches are recorded$/,
    ],
    'a state of another shape': [
      ([counter, , constant]) => ({state: [counter, tf.fill([4], 1), constant], outputs: []}),
      /^\[capture\] state 1 is float32 \[3\] but its next value is float32 \[4\]$/,
    ],
    'a state of another type': [
      ([, vector, constant]) => ({state: [tf.fill([1], 1), vector, constant], outputs: []}),
      /^\[capture\] state 0 is int32 \[1\] but its next value is float32 \[1\]$/,
    ],
  };
  for (const [what, [bad, message]] of Object.entries(REFUSED)) {
    it(`refuses ${what}, and the backend goes on`, () => {
      const state = newState();
      const before = memory();
      expect(() => record(state, bad)).to.throw(message);
      expect(memory()).to.deep.equal(before);
      expect(values(state.tensors)).to.deep.equal([[0], [1, 2, 3], [7]]);
      const recorded = record(state, step);
      recorded.run();
      expect(values(state.tensors)).to.deep.equal([[7], [2, 4, 6], [7]]);
      recorded.dispose();
      state.dispose();
    });
  }

  it('refuses to run once it is disposed of', () => {
    const state = newState();
    const recorded = record(state, step);
    recorded.dispose();
    expect(() => recorded.run()).to.throw('[replay] the capture was disposed');
    state.dispose();
  });

  it('is of the native backend alone', () => {
    expect(nativeBackend()).to.equal(tf.backend());
  });
});

import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';

import {nativeBackend} from '../../backend/current.js';
import {LoopState} from '../../src/decoding/state.js';
import {makeReady, type Step, type StepRun} from '../../src/decoding/steps.js';
import {forEachBackend, onBackend} from '../backends.js';
import {memory} from './models.js';

/** A state of a counter, a vector that each step doubles, and a constant. */
const newState = () =>
  new LoopState<State>({
    counter: tf.tensor1d([0], 'int32'),
    vector: tf.tensor1d([1, 2, 3]),
    constant: tf.tensor1d([7], 'int32'),
  });
type State = Record<'counter' | 'vector' | 'constant', tf.Tensor>;
const step: Step<State> = ({counter, vector, constant}, mark) => {
  const next = tf.add(counter, constant);
  mark('count');
  const doubled = tf.add(vector, vector);
  mark('double');
  return {state: {counter: next, vector: doubled, constant}, outputs: [tf.sum(doubled), counter]};
};
const values = (tensors: State) => Object.values(tensors).map((tensor) => [...tensor.dataSync()]);
const read = async (run: StepRun) => (await run.read()).map((output) => [...output]);

forEachBackend('a ready step', () => {
  it('advances the state and returns the outputs of the step', async () => {
    const state = newState();
    const ready = makeReady(state, step);
    expect(values(state.tensors), 'making it ready runs nothing').to.deep.equal([[0], [1, 2, 3], [7]]);
    for (let run = 1; run <= 5; run++) {
      const [sum, counter] = await read(ready.run());
      expect(sum).to.deep.equal([6 * 2 ** run]);
      expect(values(state.tensors)).to.deep.equal([[7 * run], [1, 2, 3].map((x) => x * 2 ** run), [7]]);
      expect(counter[0] % 7, 'an output that is the state').to.equal(0);
    }
    const start = performance.now();
    const run = ready.run();
    await run.read();
    const whole = performance.now() - start;
    const {count, double, ...rest} = run.times();
    expect(rest).to.deep.equal({});
    expect(count).to.be.within(0, whole);
    expect(double).to.be.within(0, whole);
    expect(count + double, 'milliseconds of the phases')
      .to.be.greaterThan(0)
      .and.at.most(whole);
    ready.dispose();
    state.dispose();
  });

  it('takes the next values by their names, in whatever order a step gives them', () => {
    const state = newState();
    const turned: Step<State> = ({counter, vector, constant}) => ({
      state: {constant, vector, counter: tf.add(counter, constant)},
      outputs: [],
    });
    const ready = makeReady(state, turned);
    ready.run();
    expect(values(state.tensors)).to.deep.equal([[7], [1, 2, 3], [7]]);
    ready.dispose();
    state.dispose();
  });

  it('continues from values that the host sets', () => {
    const state = newState();
    const ready = makeReady(state, step);
    ready.run();
    state.set('counter', [100]);
    state.set('constant', [-1]);
    ready.run();
    expect(values(state.tensors)).to.deep.equal([[99], [4, 8, 12], [-1]]);
    ready.dispose();
    state.dispose();
  });

  it('can share its state with other steps, in any order and with operations between them', () => {
    const state = newState();
    const back: Step<State> = ({counter, vector, constant}) => ({
      state: {counter: tf.sub(counter, constant), vector: tf.mul(vector, vector), constant},
      outputs: [],
    });
    const [forwards, backwards] = [makeReady(state, step), makeReady(state, back)];
    forwards.run();
    forwards.run();
    backwards.run();
    state.advance((tensors) => ({...tensors, vector: tf.neg(tensors.vector)}));
    forwards.run();
    expect(values(state.tensors)).to.deep.equal([[14], [-32, -128, -288], [7]]);
    forwards.dispose();
    backwards.run();
    expect(values(state.tensors)[0]).to.deep.equal([7]);
    backwards.dispose();
    state.dispose();
  });

  it('holds no more memory after many runs than after the first', () => {
    const state = newState();
    const ready = makeReady(state, step);
    ready.run();
    const first = memory();
    for (let run = 0; run < 20; run++) {
      ready.run();
      expect(memory()).to.deep.equal(first);
    }
    ready.dispose();
    ready.dispose(); // a second call does nothing
    state.dispose();
  });

  it('leaves the state as it was if the step throws', () => {
    const state = newState();
    // tfjs-node gives values to TensorFlow when an op first reads them.
    const {tensorsInTensorFlow: _, ...before} = memory();
    const bad: Step<State> = ({counter}) => {
      tf.add(counter, counter);
      throw new Error('the step failed');
    };
    expect(() => makeReady(state, bad).run()).to.throw('the step failed');
    expect(values(state.tensors)).to.deep.equal([[0], [1, 2, 3], [7]]);
    expect(memory()).to.include(before);
    state.dispose();
  });
});

onBackend('specattn', 'capture', () => {
  const REFUSED: Record<string, [step: Step<State>, message: RegExp]> = {
    'a step that reads data': [
      (state) => ({
        state: {...state, counter: tf.fill([1], state.counter.dataSync()[0], 'int32')},
        outputs: [],
      }),
      /^\[capture\] data can't be read from the device while launches are recorded$/,
    ],
    'a step that makes a tensor of values': [
      (state) => ({
        state: {...state, counter: tf.add(state.counter, tf.tensor1d([5], 'int32'))},
        outputs: [],
      }),
      /^\[capture\] data can't be written to the device while launches are recorded$/,
    ],
    'a state of another shape': [
      (state) => ({state: {...state, vector: tf.fill([4], 1)}, outputs: []}),
      /^\[capture\] state 1 is float32 \[3\] but its next value is float32 \[4\]$/,
    ],
    'a state of another type': [
      (state) => ({state: {...state, counter: tf.fill([1], 1)}, outputs: []}),
      /^\[capture\] state 0 is int32 \[1\] but its next value is float32 \[1\]$/,
    ],
  };
  for (const [what, [bad, message]] of Object.entries(REFUSED)) {
    it(`refuses ${what}, and the backend still works`, () => {
      const state = newState();
      const before = memory();
      expect(() => makeReady(state, bad)).to.throw(message);
      expect(memory()).to.deep.equal(before);
      expect(values(state.tensors)).to.deep.equal([[0], [1, 2, 3], [7]]);
      const ready = makeReady(state, step);
      ready.run();
      expect(values(state.tensors)).to.deep.equal([[7], [2, 4, 6], [7]]);
      ready.dispose();
      state.dispose();
    });
  }

  it('refuses to run once it is disposed of', () => {
    const state = newState();
    const ready = makeReady(state, step);
    ready.dispose();
    expect(() => ready.run()).to.throw('[replay] the capture was disposed');
    state.dispose();
  });

  it('is available on the native backend', () => {
    expect(nativeBackend()).to.equal(tf.backend());
  });
});

/** Tests of captures: failures while a capture is recorded, the ownership of its buffers, and reading its outputs. */
import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';

import type {CaptureStep} from '../../backend/capture.js';
import type {SpecAttnBackend, SpecAttnMemoryInfo} from '../../backend/index.js';
import {onBackend} from '../backends.js';
import {narrow} from '../storage.js';

const native = () => tf.backend() as SpecAttnBackend;
const held = () => {
  const {numTensors, numBytes, numBytesInDevice} = tf.memory() as SpecAttnMemoryInfo;
  return {numTensors, numBytes, numBytesInDevice, buffers: native().numDataIds()};
};
const values = (tensor: tf.Tensor) => [...tensor.dataSync()];

/** Large enough that the allocator holds no other buffer of this size. */
const SIZE = 70_001;
const filled = (value: number) => tf.fill([SIZE], value);
const expectFilled = (tensor: tf.Tensor, value: number) =>
  expect(new Set(tensor.dataSync())).to.deep.equal(new Set([value]));

/** x + value. A plain number would be uploaded, which is refused while a capture is recorded. */
const plus = (x: tf.Tensor, value: number) => tf.add(x, tf.fill([1], value));

const double: CaptureStep = ([x]) => ({state: [tf.add(x, x)], outputs: [plus(x, 1)]});

onBackend('specattn', 'a capture', () => {
  it('that fails frees its memory, throws the first error, and leaves older and later captures intact', () => {
    const state = [tf.tensor1d([1, 2])];
    const older = native().capture(state, double);
    older.replay();
    const before = held();
    const bad: CaptureStep = ([x]) => {
      const next = tf.add(tf.add(x, x), x);
      native().device.mark();
      expect(values.bind(undefined, next)).to.throw(/can't be read/); // a second error, caught by the step
      throw new Error('the first error');
    };
    for (let i = 0; i < 3; i++) {
      expect(() => native().capture(state, bad)).to.throw(/^the first error$/);
      expect(held()).to.deep.equal(before);
    }
    older.replay();
    expect(values(state[0])).to.deep.equal([4, 8]);
    const later = native().capture(state, double);
    later.replay();
    older.replay();
    expect(values(state[0])).to.deep.equal([16, 32]);
    expect(values(later.outputs[0])).to.deep.equal([5, 9]);
    expect(values(older.outputs[0])).to.deep.equal([9, 17]);
    later.dispose();
    older.dispose();
  });

  it('that the step itself ends still throws the first error', () => {
    const state = [tf.tensor1d([1, 2])];
    const before = held();
    const ended: CaptureStep = () => {
      native().device.freeCapture(native().device.endCapture());
      throw new Error('the first error');
    };
    expect(() => native().capture(state, ended)).to.throw(/^the first error$/);
    expect(held()).to.deep.equal(before);
    const later = native().capture(state, double);
    later.replay();
    expect(values(state[0])).to.deep.equal([2, 4]);
    later.dispose();
  });

  it('inside another capture is refused, and both end', () => {
    const state = [tf.tensor1d([1, 2])];
    const before = held();
    expect(() =>
      native().capture(state, (tensors) => {
        native().capture(tensors, double);
        return double(tensors);
      }),
    ).to.throw(/^\[capture\] /);
    expect(held()).to.deep.equal(before);
    const later = native().capture(state, double);
    later.replay();
    expect(values(state[0])).to.deep.equal([2, 4]);
    later.dispose();
  });

  it('begins anew after a trim of the device if memory is short', () => {
    const state = [tf.tensor1d([1, 2])];
    const before = held();
    const {device} = native();
    const allocate = device.allocate.bind(device);
    const trim = device.trim.bind(device);
    const calls: string[] = [];
    let failures = 1;
    Object.assign(device, {
      allocate: (bytes: number) => {
        calls.push('allocate');
        if (failures-- > 0) throw new Error('[allocate] 8 bytes asked for on device gpu: 0 bytes are free');
        return allocate(bytes);
      },
      trim: () => {
        calls.push('trim');
        trim();
      },
    });
    try {
      const captured = native().capture(state, double);
      captured.replay();
      expect(values(state[0])).to.deep.equal([2, 4]);
      expect(calls.slice(0, 3)).to.deep.equal(['allocate', 'trim', 'allocate']);
      captured.dispose();
      failures = 2; // a second failure is final
      expect(() => native().capture(state, double)).to.throw('[allocate] 8 bytes asked for');
      expect(held()).to.deep.equal(before);
    } finally {
      Object.assign(device, {allocate, trim});
    }
  });

  it('can neither run nor be freed while another capture is recorded', () => {
    const state = [tf.tensor1d([1, 2])];
    const older = native().capture(state, double);
    const later = native().capture(state, (tensors) => {
      expect(() => older.replay()).to.throw('[replay] no capture can run while launches are recorded');
      expect(() => older.dispose()).to.throw(
        '[freeCapture] no capture can be freed while launches are recorded',
      );
      return double(tensors);
    });
    older.replay();
    later.replay();
    expect(values(state[0])).to.deep.equal([4, 8]);
    expect(values(older.outputs[0])).to.deep.equal([2, 3]);
    older.dispose();
    later.dispose();
  });

  it('reads no buffer that reuses the handle of a freed output, and no replay before the output was added', () => {
    const {device} = native();
    const [long, short] = [device.allocate(4096), new Uint8Array(16)];
    device.beginCapture();
    const id = device.endCapture();
    device.replay(id);
    const output = device.addOutput(id, long);
    expect(() => device.readOutput(id, output, 0, new Uint8Array(4096))).to.throw(
      '[readOutput] of 0 replays the one 0 back is not kept',
    );
    device.free(long);
    const other = device.allocate(16);
    expect(other).to.equal(long); // handles are reused
    expect(() => device.replay(id)).to.throw("[replay] an output's buffer was freed");
    expect(() => device.readOutput(id, output, 0, short)).to.throw(
      '[readOutput] the output has 4096 bytes but the array 16',
    );
    device.freeCapture(id);
    device.free(other);
  });

  it('keeps its memory if endCapture is called while nothing is recorded', () => {
    const state = [filled(1)];
    const captured = native().capture(state, ([x]) => {
      // The buffers of these intermediate results are free when the recording ends, and every replay writes them.
      const sum = tf.mul(plus(x, 2), plus(x, 3));
      return {state: [x], outputs: [tf.sum(sum)]};
    });
    expect(() => native().device.endCapture()).to.throw('[capture] no launches are being recorded');
    const others = [7, 8, 9].map(filled);
    for (let i = 0; i < 3; i++) captured.replay();
    others.forEach((other, i) => expectFilled(other, 7 + i));
    expect(values(captured.outputs[0])).to.deep.equal([12 * SIZE]);
    captured.dispose();
  });

  it('gets back its buffers that are freed while another capture is recorded', () => {
    const [x, y] = [filled(2), filled(5)];
    let kept: tf.Tensor | undefined;
    const first = native().capture([x], () => {
      kept = tf.keep(plus(x, 1));
      return {state: [x], outputs: [tf.sum(kept)]};
    });
    const second = native().capture([y], () => {
      kept!.dispose();
      return {state: [y], outputs: [plus(y, 6)]};
    });
    const other = filled(9);
    second.replay();
    first.replay(); // writes the buffer that `kept` had
    expectFilled(second.outputs[0], 11);
    expectFilled(other, 9);
    second.replay();
    expect(values(first.outputs[0])).to.deep.equal([3 * SIZE]);
    first.dispose();
    expectFilled(filled(4), 4);
    second.replay();
    expectFilled(second.outputs[0], 11);
    second.dispose();
  });

  it('keeps its buffers that another capture freed when that one is disposed of first', () => {
    const [x, y] = [filled(2), filled(5)];
    let kept: tf.Tensor | undefined;
    const first = native().capture([x], () => {
      kept = tf.keep(plus(x, 1));
      return {state: [x], outputs: [tf.sum(kept)]};
    });
    const second = native().capture([y], () => {
      kept!.dispose();
      return {state: [y], outputs: []};
    });
    second.dispose();
    const others = [7, 8].map(filled);
    first.replay(); // writes the buffer that `kept` had
    others.forEach((other, i) => expectFilled(other, 7 + i));
    expect(values(first.outputs[0])).to.deep.equal([3 * SIZE]);
    first.dispose();
  });

  it('keeps a buffer that was made before the capture and freed by its step', () => {
    const [x, constant] = [filled(2), filled(5)];
    const captured = native().capture([x], () => {
      const sum = tf.add(x, constant);
      constant.dispose();
      return {state: [x], outputs: [tf.sum(sum)]};
    });
    const others = [7, 8].map(filled);
    captured.replay();
    expect(values(captured.outputs[0])).to.deep.equal([7 * SIZE]);
    others.forEach((other, i) => expectFilled(other, 7 + i));
    captured.dispose();
  });

  it('can be read until the second replay after it, with its own outputs and times', () => {
    const [x, flag, none] = [tf.tensor1d([1, 2]), tf.tensor1d([1], 'bool'), tf.zeros([0], 'int32')];
    const captured = native().capture([x], ([old]) => {
      const next = tf.add(old, old);
      native().device.mark();
      return {state: [next], outputs: [next, tf.logicalNot(flag), none]};
    });
    const first = captured.replay();
    const second = captured.replay();
    expect(values(x)).to.deep.equal([4, 8]);
    for (let again = 0; again < 2; again++) {
      const [doubled, no, nothing] = first.read();
      expect([...doubled]).to.deep.equal([2, 4]);
      expect([...no]).to.deep.equal([0]);
      expect(nothing).to.be.instanceOf(Int32Array).with.lengthOf(0);
      expect([...second.read()[0]]).to.deep.equal([4, 8]);
    }
    const times = [first.times(), second.times()];
    expect(times[0]).to.have.lengthOf(1);
    expect([...first.times()], 'the same when asked again').to.deep.equal([...times[0]]);
    const third = captured.replay();
    expect([...second.read()[0]]).to.deep.equal([4, 8]);
    expect([...second.times()]).to.deep.equal([...times[1]]);
    expect([...third.read()[0]]).to.deep.equal([8, 16]);
    expect(() => first.read()).to.throw('[readOutput] of 3 replays the one 2 back is not kept');
    expect(() => first.times()).to.throw('[times] of 3 replays the one 2 back is not kept');
    captured.dispose();
    expect(() => third.read()).to.throw('[read] the capture was disposed');
  });

  it('gives half-stored outputs as float32', () => {
    const x = narrow(tf.tensor1d([1, 2.5]), 'bfloat16');
    const captured = native().capture([], () => ({state: [], outputs: [x]}));
    expect([...captured.replay().read()[0]]).to.deep.equal([1, 2.5]);
    captured.dispose();
  });
});

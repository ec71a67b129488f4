/** Tests that the workspace which a device keeps for its launches counts as reserved memory and is freed by `trim`. */
import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';

import type {SpecAttnBackend, SpecAttnMemoryInfo} from '../../backend/index.js';
import {causalAttention} from '../../ops/index.js';
import {onBackend} from '../backends.js';
import {expectSame} from '../compare.js';

onBackend('specattn', "a device's workspace", () => {
  const native = () => tf.backend() as SpecAttnBackend;
  const reserved = () => (tf.memory() as SpecAttnMemoryInfo).numBytesInDeviceReserved;
  /** Lower bound of the workspace in bytes: partial outputs of a tile of 16 rows [heads, head size], for each chunk of 128 keys. */
  const PARTIAL_SUMS = 4 * 16 * 32 * 8 * Math.ceil(2000 / 128);

  const inputs = () => {
    const q = tf.randomUniform<tf.Rank.R3>([20, 32, 8], -1, 1, 'float32', 1);
    const k = tf.randomUniform<tf.Rank.R3>([4, 2000, 8], -1, 1, 'float32', 2);
    return {q, k, position: tf.tensor1d([1980], 'int32')};
  };

  it('counts as reserved until a trim frees it', () => {
    const {q, k, position} = inputs();
    native().device.trim();
    const before = reserved();
    const attended = causalAttention(q, k, k, position);
    const first = attended.dataSync();
    attended.dispose();
    expect(reserved() - before).to.be.at.least(first.byteLength + PARTIAL_SUMS);
    native().device.trim();
    expect(reserved()).to.equal(before);
    expectSame(causalAttention(q, k, k, position).dataSync(), first);
  });

  it('stays with a capture that uses it', () => {
    const {q, k, position} = inputs();
    const expected = causalAttention(q, k, k, position).dataSync();
    const captured = native().capture([], () => ({
      state: [],
      outputs: [causalAttention(q, k, k, position)],
    }));
    for (let i = 0; i < 3; i++) {
      native().device.trim();
      captured.replay();
      expectSame(captured.outputs[0].dataSync(), expected);
    }
    captured.dispose();
  });
});

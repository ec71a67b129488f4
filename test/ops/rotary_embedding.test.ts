import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';

import {rotaryEmbedding} from '../../ops/index.js';
import {forEachBackend} from '../backends.js';
import {expectClose, expectSame} from '../compare.js';
import {Random} from '../random.js';
import * as reference from '../reference.js';

const frequenciesOf = (headSize: number): Float32Array =>
  Float32Array.from({length: headSize / 2}, (_, i) => 10000 ** ((-2 * i) / headSize));
const at = (position: number): tf.Tensor1D => tf.tensor1d([position], 'int32');

forEachBackend('RotaryEmbedding', () => {
  for (const [shape, position, scale] of [
    [[1, 1, 2], 1, 1],
    [[1, 5, 64], 4095, 1],
    [[5, 3, 30], 17, 1.25],
    [[33, 2, 66], 0, 1],
    [[3, 4, 128], 131071, 1],
  ] as const) {
    it(`equals the reference on [${shape.join()}] at position ${position}, scale ${scale}`, () => {
      const x = new Random(`RotaryEmbedding ${shape.join()}`).normals(tf.util.sizeFromShape([...shape]));
      const frequencies = frequenciesOf(shape[2]);
      const y = rotaryEmbedding(tf.tensor3d(x, [...shape]), at(position), tf.tensor1d(frequencies), scale);
      expect(y.shape).to.deep.equal(shape);
      expectClose(y.dataSync(), reference.rotaryEmbedding(x, [...shape], position, frequencies, scale));
    });
  }

  it('gives a row the same bits alone and among others', () => {
    const x = tf.tensor3d(new Random('RotaryEmbedding rows').normals(5 * 3 * 46), [5, 3, 46]);
    const frequencies = tf.tensor1d(frequenciesOf(46));
    const together = rotaryEmbedding(x, at(100), frequencies).dataSync();
    for (let t = 0; t < 5; t++) {
      const alone = rotaryEmbedding(tf.slice(x, [t, 0, 0], [1, 3, 46]), at(100 + t), frequencies);
      expectSame(alone.dataSync(), together.slice(t * 138, (t + 1) * 138));
    }
  });

  it('keeps NaN and infinity to their own pair', () => {
    const x = [NaN, 1, Infinity, 1, 2, 3, 1, 4];
    const frequencies = [0.5, 0.25, 0.125, 0.0625];
    const y = rotaryEmbedding(tf.tensor3d(x, [1, 1, 8]), at(1), tf.tensor1d(frequencies));
    expectClose(y.dataSync(), reference.rotaryEmbedding(x, [1, 1, 8], 1, frequencies, 1));
  });

  it('names the argument that does not fit', () => {
    const x = tf.zeros<tf.Rank.R3>([1, 2, 8]);
    expect(() => rotaryEmbedding(tf.zeros([1, 2, 7]), at(0), tf.zeros([3]))).to.throw(
      '[RotaryEmbedding] x must have an even head size but has 7',
    );
    expect(() => rotaryEmbedding(x, at(0), tf.zeros([8]))).to.throw(
      '[RotaryEmbedding] frequencies must have shape [4] but has [8]',
    );
    expect(() => rotaryEmbedding(x, tf.zeros([1]), tf.zeros([4]))).to.throw(
      '[RotaryEmbedding] position must be int32 but is float32',
    );
    expect(() => rotaryEmbedding(x, at(0), tf.zeros([4]), NaN)).to.throw(
      '[RotaryEmbedding] scale must be a finite number but is NaN',
    );
  });
});

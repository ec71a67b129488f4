import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';

import {rmsNorm} from '../../ops/index.js';
import {forEachBackend} from '../backends.js';
import {expectClose, expectSame} from '../compare.js';
import {Random} from '../random.js';
import * as reference from '../reference.js';

forEachBackend('RMSNorm', () => {
  for (const [rows, width] of [
    [1, 1],
    [1, 320],
    [5, 31],
    [3, 33],
    [2, 111],
    [7, 989],
    [1, 4096],
  ]) {
    it(`equals the reference on [${rows},${width}]`, () => {
      const random = new Random(`RMSNorm ${rows} ${width}`);
      const [x, weight] = [random.normals(rows * width, 3), random.normals(width)];
      const y = rmsNorm(tf.tensor2d(x, [rows, width]), tf.tensor1d(weight), 1e-6);
      expect(y.shape).to.deep.equal([rows, width]);
      expectClose(y.dataSync(), reference.rmsNorm(x, weight, 1e-6));
    });
  }

  it('gives a row the same bits alone and among others', () => {
    const x = tf.tensor2d(new Random('RMSNorm rows').normals(5 * 333), [5, 333]);
    const weight = tf.ones<tf.Rank.R1>([333]);
    const together = rmsNorm(x, weight).dataSync();
    for (let t = 0; t < 5; t++)
      expectSame(
        rmsNorm(tf.slice(x, [t, 0], [1, 333]), weight).dataSync(),
        together.slice(t * 333, (t + 1) * 333),
      );
  });

  it('keeps rows of zeros at zero and spoils no other row with NaN or infinity', () => {
    const x = [0, 0, 0, 0, 1, NaN, 1, 1, 1, 2, Infinity, 4, 1, 2, 3, 4];
    const weight = [1, 2, 3, 4];
    const y = rmsNorm(tf.tensor2d(x, [4, 4]), tf.tensor1d(weight), 1e-5).dataSync();
    expectClose(y, reference.rmsNorm(x, weight, 1e-5));
  });

  it('gives nothing for no rows', () => {
    expect(rmsNorm(tf.zeros<tf.Rank.R2>([0, 8]), tf.ones<tf.Rank.R1>([8])).shape).to.deep.equal([0, 8]);
  });

  it('names the argument that does not fit', () => {
    const x = tf.zeros<tf.Rank.R2>([1, 320]);
    expect(() => rmsNorm(x, tf.zeros([319]))).to.throw(
      '[RMSNorm] weight must have shape [320] but has [319]',
    );
    expect(() => rmsNorm(tf.zeros([320]), tf.zeros([320]))).to.throw(
      '[RMSNorm] x must have shape [?,?] but has [320]',
    );
    expect(() => rmsNorm(tf.cast(x, 'int32'), tf.zeros([320]))).to.throw(
      '[RMSNorm] x must be float32 but is int32',
    );
    expect(() => rmsNorm(x, [1, 2] as never)).to.throw('[RMSNorm] weight must be a tensor but is Array');
    expect(() => rmsNorm(x, tf.zeros([320]), -1)).to.throw('[RMSNorm] epsilon must be 0 or more but is -1');
  });
});

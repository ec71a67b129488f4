import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';

import {swiGLU} from '../../ops/index.js';
import {forEachBackend} from '../backends.js';
import {expectClose, expectSame} from '../compare.js';
import {Random} from '../random.js';
import * as reference from '../reference.js';

forEachBackend('SwiGLU', () => {
  for (const [rows, width] of [
    [1, 1],
    [5, 31],
    [3, 33],
    [2, 111],
    [7, 989],
  ]) {
    it(`equals the reference on [${rows},2·${width}]`, () => {
      const x = new Random(`SwiGLU ${rows} ${width}`).normals(rows * 2 * width, 4);
      const y = swiGLU(tf.tensor2d(x, [rows, 2 * width]));
      expect(y.shape).to.deep.equal([rows, width]);
      expectClose(y.dataSync(), reference.swiGLU(x, width));
    });
  }

  it('gives a row the same bits alone and among others', () => {
    const x = tf.tensor2d(new Random('SwiGLU rows').normals(5 * 206), [5, 206]);
    const together = swiGLU(x).dataSync();
    for (let t = 0; t < 5; t++)
      expectSame(swiGLU(tf.slice(x, [t, 0], [1, 206])).dataSync(), together.slice(t * 103, (t + 1) * 103));
  });

  it('saturates, and lets NaN and infinity through', () => {
    const x = [-200, 200, NaN, Infinity, 1, 1, 3, 3, 3, 3, NaN, Infinity];
    expectClose(swiGLU(tf.tensor2d(x, [1, 12])).dataSync(), reference.swiGLU(x, 6));
  });

  it('names the argument that does not fit', () => {
    expect(() => swiGLU(tf.zeros([2, 7]))).to.throw(
      '[SwiGLU] x must have an even width (gate, up) but has 7',
    );
    expect(() => swiGLU(tf.zeros([8]))).to.throw('[SwiGLU] x must have shape [?,?] but has [8]');
  });
});

import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';

import {kvCacheAppend} from '../../ops/index.js';
import {forEachBackend, isNative} from '../backends.js';
import {expectSame} from '../compare.js';
import {Random} from '../random.js';
import * as reference from '../reference.js';

const at = (position: number): tf.Tensor1D => tf.tensor1d([position], 'int32');

forEachBackend('KVCacheAppend', (backend) => {
  for (const [kvHeads, capacity, size, rows, position] of [
    [1, 1, 1, 1, 0],
    [5, 33, 8, 1, 0],
    [2, 31, 7, 5, 13],
    [3, 111, 64, 33, 78], // the last row fills the last row of the cache
    [2, 8, 4, 5, 6], // three rows past the end
    [2, 8, 4, 2, 8], // both rows past the end
    [1, 989, 3, 989, 0],
  ]) {
    it(`writes ${rows} rows at ${position} of [${kvHeads},${capacity},${size}]`, () => {
      const random = new Random(`KVCacheAppend ${kvHeads} ${capacity} ${size}`);
      const before = random.normals(kvHeads * capacity * size);
      const values = random.normals(rows * kvHeads * size);
      const cache = tf.tensor3d(before.slice(), [kvHeads, capacity, size]);
      const next = kvCacheAppend(cache, tf.tensor3d(values, [rows, kvHeads, size]), at(position));
      expect(next.shape).to.deep.equal(cache.shape);
      expectSame(next.dataSync(), reference.kvCacheAppend(before, cache.shape, values, position));
    });
  }

  it('returns a tensor that outlives the donated one, ' + (isNative(backend) ? 'in place' : 'a copy'), () => {
    const cache = tf.zeros<tf.Rank.R3>([1, 3, 2]);
    const [rows, position] = [tf.tensor3d([[[1, NaN]]]), at(2)];
    const buffers = tf.engine().backend.numDataIds();
    const next = kvCacheAppend(cache, rows, position);
    expect(tf.engine().backend.numDataIds() - buffers, 'new buffers').to.equal(isNative(backend) ? 0 : 1);
    cache.dispose();
    expectSame(next.dataSync(), [0, 0, 0, 0, 1, NaN]);
  });

  it('names the argument that does not fit', () => {
    const cache = tf.zeros<tf.Rank.R3>([2, 8, 4]);
    expect(() => kvCacheAppend(cache, tf.zeros([1, 3, 4]), at(0))).to.throw(
      '[KVCacheAppend] rows must have shape [?,2,4] but has [1,3,4]',
    );
    expect(() => kvCacheAppend(cache, tf.zeros([1, 2, 4]), tf.zeros([2], 'int32'))).to.throw(
      '[KVCacheAppend] position must have shape [1] but has [2]',
    );
  });
});

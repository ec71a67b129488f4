import * as tf from '@tensorflow/tfjs-core';

import {
  causalAttention,
  kvCacheAppend,
  nucleusSelect,
  rmsNorm,
  sparseAttention,
  swiGLU,
} from '../../ops/index.js';
import {onBackend} from '../backends.js';
import {expectClose, expectSame} from '../compare.js';
import {Random} from '../random.js';
import {narrow, widen} from '../storage.js';

const at = (position: number): tf.Tensor1D => tf.tensor1d([position], 'int32');

onBackend('specattn', 'Tensors stored in half the bytes', () => {
  for (const storage of ['bfloat16', 'float16'] as const) {
    const tensor = (name: string, shape: number[]) =>
      narrow(tf.tensor(new Random(name).normals(tf.util.sizeFromShape(shape)), shape), storage);

    it(`RMSNorm and SwiGLU read ${storage} as the values it stands for`, () => {
      const [x, weight] = [tensor('x', [3, 110]), tensor('weight', [110])];
      expectSame(rmsNorm(x, weight).dataSync(), rmsNorm(widen(x), widen(weight)).dataSync());
      expectSame(swiGLU(x).dataSync(), swiGLU(widen(x)).dataSync());
    });

    it(`KVCacheAppend narrows rows to a ${storage} cache, to nearest, and leaves the rest alone`, () => {
      const cache = tensor('cache', [2, 9, 5]);
      const rows = tf.tensor3d(new Random('rows').normals(30), [3, 2, 5]);
      const expected = kvCacheAppend(widen(cache), widen(narrow(rows, storage)), at(4)).dataSync();
      expectSame(kvCacheAppend(cache, rows, at(4)).dataSync(), expected);
      // Rounding to nearest is off by at most half a unit of the last of 8 bits (bfloat16) or 11 bits (float16). Truncation would be
      // off by twice as much.
      const relative = storage === 'bfloat16' ? 2 ** -8 : 2 ** -11;
      expectClose(narrow(rows, storage).dataSync(), rows.dataSync(), {relative, absolute: 1e-7});
    });

    for (const size of [32, 64, 40, 33]) {
      it(`attention reads a ${storage} cache as the values it stands for, head size ${size}`, () => {
        const [rows, capacity, position] = [5, 333, 300];
        const q = tf.tensor3d(new Random(`q ${size}`).normals(rows * 4 * size), [rows, 4, size]);
        const [k, v] = [tensor('k', [2, capacity, size]), tensor('v', [2, capacity, size])] as tf.Tensor3D[];
        const [out, weights] = causalAttention(q, k, v, at(position), {weights: 'layer'});
        const [wideOut, wideWeights] = causalAttention(q, widen(k), widen(v), at(position), {
          weights: 'layer',
        });
        const tolerance = {relative: 1e-5, absolute: 2e-6};
        expectClose(out.dataSync(), wideOut.dataSync(), tolerance);
        expectClose(weights.dataSync(), wideWeights.dataSync(), tolerance);

        // To the bit, sparse attention over every key equals dense attention, and a row's result does not depend on its block.
        const steps = Array.from({length: rows - 1}, () => tf.zeros<tf.Rank.R2>([1, capacity]));
        const every = nucleusSelect(steps, tf.ones([1, 1]), tf.ones([1]), at(position));
        expectSame(sparseAttention(q, k, v, every).dataSync(), out.dataSync());
        for (let t = 0; t < rows; t++) {
          const alone = causalAttention(tf.slice(q, [t, 0, 0], [1, 4, size]), k, v, at(position + t));
          expectSame(alone.dataSync(), tf.slice(out, [t, 0, 0], [1, 4, size]).dataSync());
        }
      });
    }
  }
});

/** The op KVCacheAppend writes the keys or values of new rows into their cache. */
import * as tf from '@tensorflow/tfjs-core';
import type {Tensor, Tensor1D, Tensor3D} from '@tensorflow/tfjs-core';

import {ANY, checkPosition, checkTensor} from './check.js';
import {defineOp} from './define_op.js';
import {sliceKeys} from './masked_attention.js';

const name = 'KVCacheAppend';

const run = defineOp({
  name,
  attrs: {},

  check([cache, rows, position]) {
    checkTensor(name, 'cache', cache, 'float32', [ANY, ANY, ANY]);
    checkTensor(name, 'rows', rows, 'float32', [ANY, cache.shape[0], cache.shape[2]]);
    checkPosition(name, position);
  },

  native(backend, inputs) {
    const [cache] = inputs;
    backend.launch(name, inputs, [cache]);
    return backend.alias(cache);
  },

  // The fallback copies the cache, since tensors of other backends are immutable. Reading `position` waits for the device.
  composed([cache, rows, position]: [Tensor3D, Tensor3D, Tensor1D]) {
    const [kvHeads, capacity, headSize] = cache.shape;
    const start = position.dataSync()[0];
    const first = Math.max(0, -start); // rows [first, end) have a place
    const end = Math.min(rows.shape[0], capacity - start);
    if (end <= first) return cache.clone();
    const kept = tf.slice(rows, [first, 0, 0], [end - first, kvHeads, headSize]);
    const before = sliceKeys(cache, 0, start + first);
    const after = sliceKeys(cache, start + end, capacity);
    return tf.concat([before, tf.transpose(kept, [1, 0, 2]), after], 1);
  },
});

/**
 * Writes the keys (or values) of new tokens into their cache:
 *
 *     cache[g, position + t, :] = rows[t, g, :]
 *
 * Rows whose place is outside [0, C) are dropped. The cache is DONATED: on the backend `specattn` it is updated in
 * place (rounded to its storage) and the result is the same buffer; composed fallbacks copy it. So use the result and
 * dispose of the input.
 *
 * ```ts
 * const cache = tf.zeros<tf.Rank.R3>([1, 3, 2]);
 * const next = kvCacheAppend(cache, tf.tensor3d([[[1, 2]]]), tf.tensor1d([1], 'int32'));
 * cache.dispose();
 * next.print(); // [[[0, 0], [1, 2], [0, 0]]]
 * ```
 *
 * @param cache float32 [G,C,D]
 * @param rows float32 [T,G,D]
 * @param position int32 [1]: the position of row 0 in the sequence
 * @returns float32 [G,C,D]
 * @throws Error naming the op and the argument, if a shape or dtype does not fit
 */
export function kvCacheAppend(cache: Tensor, rows: Tensor, position: Tensor): Tensor3D {
  return run([cache, rows, position]) as Tensor3D;
}

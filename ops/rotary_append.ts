import * as tf from '@tensorflow/tfjs-core';
import type {Tensor, Tensor1D, Tensor2D, Tensor3D, TensorInfo} from '@tensorflow/tfjs-core';

import {checkValue} from '../backend/check.js';
import {ANY, checkPosition, checkTensor, FINITE} from './check.js';
import {defineOp} from './define_op.js';
import {kvCacheAppend} from './kv_cache_append.js';
import {rotaryEmbedding} from './rotary_embedding.js';

const name = 'RotaryAppend';

/** Query heads of a row of `qkv`: what its key and value heads leave. */
const queryHeads = (qkv: TensorInfo, [kvHeads, , headSize]: number[]): number =>
  qkv.shape[1] / headSize - 2 * kvHeads;

const run = defineOp({
  name,
  attrs: {scale: 1},

  check([qkv, position, frequencies, kCache, vCache], {scale}) {
    checkTensor(name, 'kCache', kCache, 'float32', [ANY, ANY, ANY]);
    const [kvHeads, , headSize] = kCache.shape;
    if (headSize === 0 || headSize % 2 !== 0)
      throw new Error(`[${name}] kCache must have an even, positive head size but has ${headSize}`);
    checkTensor(name, 'vCache', vCache, 'float32', kCache.shape);
    checkTensor(name, 'qkv', qkv, 'float32', [ANY, ANY]);
    const heads = queryHeads(qkv, kCache.shape);
    if (heads < 0 || !Number.isInteger(heads))
      throw new Error(
        `[${name}] qkv must hold ${2 * kvHeads} key and value heads, and query heads, of size ${headSize} a row but has width ${qkv.shape[1]}`,
      );
    checkPosition(name, position);
    checkTensor(name, 'frequencies', frequencies, 'float32', [headSize / 2]);
    checkValue(name, 'scale', scale, FINITE);
  },

  native(backend, inputs, {scale}) {
    const [qkv, , , kCache, vCache] = inputs;
    const q = backend.output([qkv.shape[0], queryHeads(qkv, kCache.shape), kCache.shape[2]], 'float32');
    try {
      backend.launch(name, inputs, [q, kCache, vCache], [scale]);
    } catch (error) {
      backend.disposeIntermediateTensorInfo(q);
      throw error;
    }
    return [q, backend.alias(kCache), backend.alias(vCache)];
  },

  composed(
    [qkv, position, frequencies, kCache, vCache]: [Tensor2D, Tensor1D, Tensor1D, Tensor3D, Tensor3D],
    {scale},
  ) {
    const [kvHeads, , headSize] = kCache.shape;
    const heads = queryHeads(qkv, kCache.shape);
    const byHead = tf.reshape(qkv, [qkv.shape[0], heads + 2 * kvHeads, headSize]);
    const [q, k, v] = tf.split(byHead, [heads, kvHeads, kvHeads], 1);
    return [
      rotaryEmbedding(q, position, frequencies, scale),
      kvCacheAppend(kCache, rotaryEmbedding(k, position, frequencies, scale), position),
      kvCacheAppend(vCache, v, position),
    ];
  },
});

/**
 * What a layer does between its product of queries, keys and values and its attention. With row t of `qkv` read as H query heads,
 * G key heads and G value heads,
 *
 *     q[t,h,:]                   = rotaryEmbedding of query head h at position + t
 *     kCache[g, position + t, :] = rotaryEmbedding of key head g at position + t
 *     vCache[g, position + t, :] = value head g
 *
 * Rows whose place is outside [0, C) are dropped from the caches. The caches are DONATED, as `kvCacheAppend`'s is: use the results
 * and dispose of the inputs. They are two buffers, never one.
 *
 * ```ts
 * const qkv = tf.tensor2d([[1, 0, 2, 0, 3, 4]]); // one head each
 * const caches = [tf.zeros<tf.Rank.R3>([1, 2, 2]), tf.zeros<tf.Rank.R3>([1, 2, 2])];
 * const quarterTurn = tf.tensor1d([Math.PI / 2]);
 * const [q, kCache, vCache] = rotaryAppend(qkv, tf.tensor1d([1], 'int32'), quarterTurn, caches[0], caches[1]);
 * tf.dispose(caches);
 * q.print(); // [[[0, 1]]]
 * kCache.print(); // [[[0, 0], [0, 2]]]
 * vCache.print(); // [[[0, 0], [3, 4]]]
 * ```
 *
 * Source: as `rotaryEmbedding`; one launch where the graph of a Llama would have seven nodes.
 *
 * @param qkv float32 [T,(H+2G)·D]: of each row the query heads, the key heads, the value heads; D even
 * @param position int32 [1]: of row 0
 * @param frequencies float32 [D/2], radians a position: `inv_freq`
 * @param kCache float32 [G,C,D]
 * @param vCache float32 [G,C,D]
 * @param scale factor of cos and sin; YaRN's attention factor, else 1
 * @returns q float32 [T,H,D], kCache and vCache float32 [G,C,D]
 * @throws Error where a shape or dtype does not fit
 */
export function rotaryAppend(
  qkv: Tensor,
  position: Tensor,
  frequencies: Tensor,
  kCache: Tensor,
  vCache: Tensor,
  scale?: number,
): [q: Tensor3D, kCache: Tensor3D, vCache: Tensor3D] {
  const inputs = [qkv, position, frequencies, kCache, vCache];
  return run(inputs, {scale}) as [Tensor3D, Tensor3D, Tensor3D];
}

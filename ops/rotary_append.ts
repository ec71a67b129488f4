/**
 * The op RotaryAppend rotates the queries and keys of a layer and writes its keys and values into their caches, in one
 * launch.
 */
import * as tf from '@tensorflow/tfjs-core';
import type {Tensor, Tensor1D, Tensor2D, Tensor3D, TensorInfo} from '@tensorflow/tfjs-core';

import {checkValue} from '../backend/check.js';
import {ANY, checkPosition, checkTensor, EPSILON, FINITE} from './check.js';
import {defineOp} from './define_op.js';
import {kvCacheAppend} from './kv_cache_append.js';
import {rmsNorm} from './rms_norm.js';
import {rotaryEmbedding} from './rotary_embedding.js';

const name = 'RotaryAppend';

/** Number of query heads in a row of `qkv`: the heads that are not key or value heads. */
const queryHeads = (qkv: TensorInfo, [kvHeads, , headSize]: number[]): number =>
  qkv.shape[1] / headSize - 2 * kvHeads;

const run = defineOp({
  name,
  attrs: {scale: 1, epsilon: 1e-5},

  check([qkv, position, frequencies, kCache, vCache, qNorm, kNorm], {scale, epsilon}) {
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
    checkValue(name, 'epsilon', epsilon, EPSILON);
    if (!qNorm) return;
    checkTensor(name, 'qNorm', qNorm, 'float32', [headSize]);
    checkTensor(name, 'kNorm', kNorm, 'float32', [headSize]);
  },

  native(backend, inputs, {scale, epsilon}) {
    const [qkv, , , kCache, vCache] = inputs;
    const q = backend.output([qkv.shape[0], queryHeads(qkv, kCache.shape), kCache.shape[2]], 'float32');
    try {
      backend.launch(name, inputs, [q, kCache, vCache], [scale, epsilon]);
    } catch (error) {
      backend.disposeIntermediateTensorInfo(q);
      throw error;
    }
    return [q, backend.alias(kCache), backend.alias(vCache)];
  },

  composed(inputs: Tensor[], {scale, epsilon}) {
    type Inputs = [Tensor2D, Tensor1D, Tensor1D, Tensor3D, Tensor3D, Tensor1D?, Tensor1D?];
    const [qkv, position, frequencies, kCache, vCache, qNorm, kNorm] = inputs as Inputs;
    const [kvHeads, , headSize] = kCache.shape;
    const heads = queryHeads(qkv, kCache.shape);
    const byHead = tf.reshape(qkv, [qkv.shape[0], heads + 2 * kvHeads, headSize]);
    const [q, k, v] = tf.split(byHead, [heads, kvHeads, kvHeads], 1) as Tensor3D[];
    const rotate = (x: Tensor3D, norm?: Tensor1D): Tensor3D => {
      const normed = norm ? tf.reshape(rmsNorm(tf.reshape(x, [-1, headSize]), norm, epsilon), x.shape) : x;
      return rotaryEmbedding(normed, position, frequencies, scale);
    };
    return [
      rotate(q, qNorm),
      kvCacheAppend(kCache, rotate(k, kNorm), position),
      kvCacheAppend(vCache, v, position),
    ];
  },
});

/**
 * The steps of a layer between the projection to queries, keys and values and the attention, in one launch: it rotates
 * queries and keys, and appends keys and values to their caches. Row t of `qkv` holds H query heads, then G key heads,
 * then G value heads:
 *
 *     q[t,h,:]                   = rotaryEmbedding of query head h at position + t
 *     kCache[g, position + t, :] = rotaryEmbedding of key head g at position + t
 *     vCache[g, position + t, :] = value head g
 *
 * With `norms` a query head is first replaced by rmsNorm of the head with the weight `norms.q`, and a key head by its
 * rmsNorm with `norms.k`, as in Qwen3.
 *
 * Rows whose place is outside [0, C) are not written to the caches. The caches are DONATED, as in `kvCacheAppend`: use
 * the results and dispose of the inputs. kCache and vCache must be different buffers.
 *
 * ```ts
 * const qkv = tf.tensor2d([[1, 0, 2, 0, 3, 4]]); // one query, one key and one value head
 * const caches = [tf.zeros<tf.Rank.R3>([1, 2, 2]), tf.zeros<tf.Rank.R3>([1, 2, 2])];
 * const quarterTurn = tf.tensor1d([Math.PI / 2]);
 * const [q, kCache, vCache] = rotaryAppend(qkv, tf.tensor1d([1], 'int32'), quarterTurn, caches[0], caches[1]);
 * tf.dispose(caches);
 * q.print(); // [[[0, 1]]]
 * kCache.print(); // [[[0, 0], [0, 2]]]
 * vCache.print(); // [[[0, 0], [3, 4]]]
 * ```
 *
 * Source: those of `rotaryEmbedding` and `rmsNorm`.
 *
 * @param qkv float32 [T,(H+2G)·D], D even
 * @param position int32 [1]: the position of row 0 in the sequence
 * @param frequencies float32 [D/2], in radians per position; Hugging Face's `inv_freq`
 * @param kCache float32 [G,C,D]
 * @param vCache float32 [G,C,D]
 * @param scale factor of cos and sin, 1 by default; YaRN's attention factor
 * @param norms the weights of the norms, float32 [D] each, and their epsilon (0 or more, 1e-5 by default)
 * @returns q float32 [T,H,D], kCache and vCache float32 [G,C,D]
 * @throws Error naming the op and the argument, if a shape or dtype does not fit
 */
export function rotaryAppend(
  qkv: Tensor,
  position: Tensor,
  frequencies: Tensor,
  kCache: Tensor,
  vCache: Tensor,
  scale?: number,
  norms?: {q: Tensor; k: Tensor; epsilon?: number},
): [q: Tensor3D, kCache: Tensor3D, vCache: Tensor3D] {
  const inputs = [qkv, position, frequencies, kCache, vCache];
  return run(norms ? [...inputs, norms.q, norms.k] : inputs, {scale, epsilon: norms?.epsilon}) as [
    Tensor3D,
    Tensor3D,
    Tensor3D,
  ];
}

import * as tf from '@tensorflow/tfjs-core';
import type {Tensor, Tensor1D, Tensor2D} from '@tensorflow/tfjs-core';

import {ANY, checkPosition, checkSeed, checkTensor} from './check.js';
import {defineOp, launch} from './define_op.js';
import {draw, RandomStream, uniform} from './random.js';

const name = 'SpeculativeAccept';

const run = defineOp({
  name,
  attrs: {},

  check([block, draft, verifier, seed, position]) {
    checkTensor(name, 'draft', draft, 'float32', [ANY, ANY]);
    const [drafted, vocabulary] = draft.shape;
    if (vocabulary === 0) throw new Error(`[${name}] draft must have at least one column but has none`);
    checkTensor(name, 'block', block, 'int32', [drafted + 1]);
    checkTensor(name, 'verifier', verifier, 'float32', [drafted + 1, vocabulary]);
    checkSeed(name, seed);
    checkPosition(name, position);
  },

  native(backend, inputs) {
    return launch(backend, name, inputs, [
      [inputs[0].shape, 'int32'],
      [[2], 'int32'],
      [[1], 'int32'],
    ]);
  },

  // A short loop with an early end and a hash: the distributions are read.
  composed([block, draft, verifier, seed, position]: [Tensor1D, Tensor2D, Tensor2D, Tensor1D, Tensor1D]) {
    const [drafted, vocabulary] = draft.shape;
    const blockTokens = block.dataSync();
    const [words, start] = [seed.dataSync(), position.dataSync()[0]];
    const [allQ, allP] = [draft.dataSync(), verifier.dataSync()];
    const rowOf = (all: Float32Array | Int32Array | Uint8Array, i: number) =>
      all.subarray((i - 1) * vocabulary, i * vocabulary);

    const tokens = new Int32Array(drafted + 1).fill(-1);
    let i = 1; // of d_i, at position + i
    for (; i <= drafted; i++) {
      const token = blockTokens[i];
      const u = uniform(words, start + i, RandomStream.accept);
      if (!(u * rowOf(allQ, i)[token] < rowOf(allP, i)[token])) break; // also where there is no such token
      tokens[i - 1] = token;
    }
    const p = rowOf(allP, i);
    const u = uniform(words, start + i, RandomStream.resample);
    let drawn = -1;
    if (i <= drafted) {
      const q = rowOf(allQ, i);
      drawn = draw(
        Float32Array.from(p, (value, j) => Math.max(0, value - q[j])),
        u,
      );
    }
    // After full acceptance; or where rounding leaves nothing of the difference, so that the two are one distribution.
    if (drawn < 0) drawn = Math.max(0, draw(p, u));
    tokens[i - 1] = drawn;
    return [
      tf.tensor1d(tokens, 'int32'),
      tf.tensor1d([blockTokens[i - 1], drawn], 'int32'),
      tf.tensor1d([start + i], 'int32'),
    ];
  },
});

/**
 * Speculative sampling's rule: which drafted tokens stay, and the token after them. Its tokens are distributed exactly as
 * the verifier's own would be.
 *
 * block = [x, d_1 … d_N] stands at position … position + N. With q = draft[i−1], the distribution that d_i was drawn from, and
 * p = verifier[i−1], d_i is accepted with probability min(1, p(d_i) / q(d_i)); the first rejected one is replaced by a draw from
 * norm(max(0, p − q)); after N acceptances one more token is drawn from verifier[N]. Random numbers are hashes of
 * (seed, position + i).
 *
 * ```ts
 * const draft = tf.tensor2d([[0, 0, 0, 1], [0, 1, 0, 0]]); // the draft was sure of 3, then of 1
 * const verifier = tf.tensor2d([[0, 0, 0, 1], [0, 0, 1, 0], [1, 0, 0, 0]]); // the verifier is of 3, then of 2
 * const block = tf.tensor1d([0, 3, 1], 'int32');
 * const {tokens} = speculativeAccept(block, draft, verifier, tf.tensor1d([1, 2], 'int32'), tf.tensor1d([9], 'int32'));
 * tokens.print(); // [3, 2, -1]
 * ```
 *
 * Source: Leviathan et al., arXiv 2211.17192; Chen et al., arXiv 2302.01318.
 *
 * @param block int32 [N+1]
 * @param draft float32 [N,V]: rows that sum to 1
 * @param verifier float32 [N+1,V]: rows that sum to 1
 * @param seed int32 [2]
 * @param position int32 [1]: of block[0]
 * @returns tokens int32 [N+1]: the accepted ones and the drawn one, then −1; last int32 [2]: the two last tokens of the
 *     sequence; position int32 [1]: of last[1]
 * @throws Error where a shape or dtype does not fit
 */
export function speculativeAccept(
  block: Tensor,
  draft: Tensor,
  verifier: Tensor,
  seed: Tensor,
  position: Tensor,
): {tokens: Tensor1D; last: Tensor1D; position: Tensor1D} {
  const [tokens, last, next] = run([block, draft, verifier, seed, position]) as Tensor1D[];
  return {tokens, last, position: next};
}

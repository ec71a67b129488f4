/** The op SpeculativeAccept decides how many drafted tokens are accepted and draws the token after them. */
import * as tf from '@tensorflow/tfjs-core';
import type {Tensor, Tensor1D, Tensor2D} from '@tensorflow/tfjs-core';

import {ANY, checkPosition, checkSeed, checkTensor} from './check.js';
import {defineOp, launch} from './define_op.js';
import {draw, RandomStream, uniform} from './random.js';

const name = 'SpeculativeAccept';
/** What `tokens` holds where a distribution is a row of zeros, which SampleToken makes of logits that are not finite. */
const BROKEN = -2;

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

  // tfjs-core has neither the hash nor a loop that ends early, so the distributions are read to the host.
  composed([block, draft, verifier, seed, position]: [Tensor1D, Tensor2D, Tensor2D, Tensor1D, Tensor1D]) {
    const [drafted, vocabulary] = draft.shape;
    const blockTokens = block.dataSync();
    const [words, start] = [seed.dataSync(), position.dataSync()[0]];
    const [allQ, allP] = [draft.dataSync(), verifier.dataSync()];
    const rowOf = (all: Float32Array | Int32Array | Uint8Array, i: number) =>
      all.subarray((i - 1) * vocabulary, i * vocabulary);

    const tokens = new Int32Array(drafted + 1);
    let i = 1; // index of the drafted token d_i, which stands at position + i
    for (; i <= drafted; i++) {
      const token = blockTokens[i];
      const u = uniform(words, start + i, RandomStream.accept);
      if (!(u * rowOf(allQ, i)[token] < rowOf(allP, i)[token])) break; // also breaks where the token is outside of the vocabulary
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
    // All tokens were accepted; or p and q are equal up to rounding, so that nothing of their difference is left.
    if (drawn < 0) drawn = draw(p, u);
    if (drawn < 0) drawn = BROKEN;
    tokens[i - 1] = drawn;
    tokens.fill(i <= drafted && blockTokens[i] < 0 ? BROKEN : -1, i);
    return [
      tf.tensor1d(tokens, 'int32'),
      tf.tensor1d([blockTokens[i - 1], drawn], 'int32'),
      tf.tensor1d([start + i], 'int32'),
    ];
  },
});

/**
 * The rule of speculative sampling: it decides how many drafted tokens are accepted, and draws the token after them.
 * The resulting tokens are distributed exactly as if the verifier had drawn them.
 *
 * block = [x, d_1 … d_N] stands at positions position … position + N. Let q = draft[i−1] be the distribution that d_i
 * was drawn from, and p = verifier[i−1]. Token d_i is accepted with probability min(1, p(d_i) / q(d_i)). The first
 * rejected token is replaced by a draw from norm(max(0, p − q)). After N acceptances one more token is drawn from
 * verifier[N]. Random numbers are hashes of the seed and the position + i, with streams of their own for acceptance and
 * for the drawn token.
 *
 * A row of zeros, which {@link sampleToken} makes of logits that are not finite, is told by −2 in `tokens`: in place of
 * the drawn token where it is the verifier's; in place of each −1 where the first rejected token is negative, as one
 * drawn from such a row of the draft is.
 *
 * ```ts
 * const draft = tf.tensor2d([[0, 0, 0, 1], [0, 1, 0, 0]]); // the draft gave token 3, then token 1, probability 1
 * const verifier = tf.tensor2d([[0, 0, 0, 1], [0, 0, 1, 0], [1, 0, 0, 0]]); // the verifier gives it to 3, then to 2
 * const block = tf.tensor1d([0, 3, 1], 'int32');
 * const {tokens} = speculativeAccept(block, draft, verifier, tf.tensor1d([1, 2], 'int32'), tf.tensor1d([9], 'int32'));
 * tokens.print(); // [3, 2, -1]
 * ```
 *
 * Source: Leviathan et al., arXiv 2211.17192; Chen et al., arXiv 2302.01318.
 *
 * @param block int32 [N+1]: the last token of the sequence, then the N drafted tokens
 * @param draft float32 [N,V]: the draft's distributions; each row sums to 1
 * @param verifier float32 [N+1,V]: the verifier's distributions; each row sums to 1
 * @param seed int32 [2]
 * @param position int32 [1]: the position of block[0] in the sequence
 * @returns tokens int32 [N+1]: the accepted tokens and the drawn one, then −1 (or −2); last int32 [2]: the last two tokens of
 *     the sequence then; position int32 [1]: the position of last[1]
 * @throws Error naming the op and the argument, if a shape or dtype does not fit
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

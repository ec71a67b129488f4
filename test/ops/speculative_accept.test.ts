import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';

import {RandomStream, sampleToken, speculativeAccept} from '../../ops/index.js';
import {forEachBackend} from '../backends.js';
import {expectSame} from '../compare.js';
import {Random} from '../random.js';
import * as reference from '../reference.js';
import {chiSquare, chiSquareLimit} from '../statistics.js';

const at = (position: number): tf.Tensor1D => tf.tensor1d([position], 'int32');
const seedOf = (a: number, b: number): tf.Tensor1D => tf.tensor1d([a, b], 'int32');

/** The outputs computed in float64; undefined if the draw is too near the boundary between two tokens. */
function expectedOf(
  block: number[],
  draft: Float32Array[],
  verifier: Float32Array[],
  seed: number[],
  position: number,
) {
  const drafted = draft.length;
  let i = 1;
  for (; i <= drafted; i++) {
    const u = reference.uniform(seed, position + i, RandomStream.accept);
    if (u * draft[i - 1][block[i]] >= verifier[i - 1][block[i]]) break;
  }
  const rest = verifier[i - 1].map((p, j) => (i <= drafted ? Math.max(0, p - draft[i - 1][j]) : p));
  const {token, margin} = reference.draw(rest, reference.uniform(seed, position + i, RandomStream.resample));
  if (margin < 1e-5) return undefined;
  const tokens = [...block.slice(1, i), token, ...Array<number>(drafted + 1 - i).fill(-1)];
  return {tokens, last: [block[i - 1], token], position: [position + i]};
}

forEachBackend('SpeculativeAccept', () => {
  for (const [drafted, vocabulary] of [
    [1, 1],
    [1, 2],
    [4, 31],
    [5, 111],
    [30, 989],
    [4, 4096],
  ]) {
    it(`equals the reference: ${drafted} drafted tokens of a vocabulary of ${vocabulary}`, () => {
      const random = new Random(`SpeculativeAccept ${drafted} ${vocabulary}`);
      const accepted = new Set<number>();
      for (let round = 0; round < 40; round++) {
        // The draft ranges from almost the verifier's distribution to one far from it.
        const verifier = Array.from({length: drafted + 1}, () => random.distribution(vocabulary, 1));
        const mix = random.next() ** 3;
        const draft = verifier.slice(0, drafted).map((p) => {
          const noise = random.distribution(vocabulary, 1);
          return p.map((value, j) => (1 - mix) * value + mix * noise[j]);
        });
        const block = [random.integer(vocabulary)];
        for (const q of draft) block.push(reference.draw(q, random.next()).token);
        const [seed, position] = [[random.integer(2 ** 31), random.integer(2 ** 31)], random.integer(5000)];
        const expected = expectedOf(block, draft, verifier, seed, position);
        if (!expected) continue;
        const flat = (rows: Float32Array[]) => Float32Array.from(rows.flatMap((row) => [...row]));
        const actual = speculativeAccept(
          tf.tensor1d(block, 'int32'),
          tf.tensor2d(flat(draft), [drafted, vocabulary]),
          tf.tensor2d(flat(verifier), [drafted + 1, vocabulary]),
          tf.tensor1d(seed, 'int32'),
          at(position),
        );
        expectSame(actual.tokens.dataSync(), expected.tokens);
        expectSame(actual.last.dataSync(), expected.last);
        expectSame(actual.position.dataSync(), expected.position);
        accepted.add(expected.position[0] - position - 1);
      }
      expect(accepted.size, 'different numbers of accepted tokens').to.be.greaterThan(vocabulary > 2 ? 1 : 0);
    });
  }

  it("preserves the verifier's distribution, which a rule without the subtraction does not", () => {
    const draft = [0.5, 0.2, 0.1, 0.1, 0.1];
    const verifier = [0.1, 0.3, 0.05, 0.35, 0.2];
    const next = [0.4, 0.3, 0.1, 0.1, 0.1]; // the verifier's probabilities after an accepted token
    const rounds = 20000;
    const seed = seedOf(11, 12);
    // Each round has positions of its own, so that its draft token, acceptance and replacement are independent of other rounds.
    const drafts = sampleToken(tf.tile(tf.log(tf.tensor2d([draft])), [rounds, 1]), seed, at(0), {
      stream: RandomStream.draft,
    }).token.dataSync();
    const [q, p] = [tf.tensor2d([draft]), tf.tensor2d([verifier, next])];
    const firsts = [0, 0, 0, 0, 0];
    const seconds = [0, 0, 0, 0, 0];
    const wrong = [0, 0, 0, 0, 0];
    for (let round = 0; round < rounds; round++) {
      tf.tidy(() => {
        const {tokens} = speculativeAccept(
          tf.tensor1d([0, drafts[round]], 'int32'),
          q,
          p,
          seed,
          at(3 * round),
        );
        const [first, second] = tokens.dataSync();
        firsts[first]++;
        if (second >= 0) seconds[second]++;
        const u = reference.uniform([11, 12], 3 * round + 1, RandomStream.resample);
        wrong[second >= 0 ? first : reference.draw(verifier, u).token]++;
      });
    }
    expect(chiSquare(firsts, verifier)).to.be.below(chiSquareLimit(4));
    expect(chiSquare(seconds, next)).to.be.below(chiSquareLimit(4));
    expect(chiSquare(wrong, verifier), 'the wrong rule').to.be.above(chiSquareLimit(4));
    const acceptance = draft.reduce((sum, value, j) => sum + Math.min(value, verifier[j]), 0);
    const accepted = seconds.reduce((a, b) => a + b, 0);
    expect(chiSquare([accepted, rounds - accepted], [acceptance, 1 - acceptance])).to.be.below(
      chiSquareLimit(1),
    );
  });

  it('is plain greedy decoding if both distributions are one-hot', () => {
    const oneHot = (tokens: number[]) =>
      tf.tensor2d(tokens.map((token) => [0, 1, 2, 3].map((j) => Number(j === token))));
    const accept = (drafted: number[], verified: number[]) => {
      const block = tf.tensor1d([0, ...drafted], 'int32');
      return speculativeAccept(block, oneHot(drafted), oneHot(verified), seedOf(1, 2), at(9));
    };
    expectSame(accept([3, 1, 2], [3, 1, 2, 0]).tokens.dataSync(), [3, 1, 2, 0]);
    expectSame(accept([3, 1, 2], [3, 2, 2, 0]).tokens.dataSync(), [3, 2, -1, -1]);
    expectSame(accept([3, 1, 2], [0, 1, 2, 0]).tokens.dataSync(), [0, -1, -1, -1]);
    expectSame(accept([3, 1, 2], [0, 1, 2, 0]).last.dataSync(), [0, 0]);
    expectSame(accept([3, 1, 2], [3, 2, 2, 0]).position.dataSync(), [11]);
  });

  it('draws from the verifier if the difference is all zero, and accepts no token outside the vocabulary', () => {
    const q = tf.tensor2d([[0.5, 0.5]]);
    const p = tf.tensor2d([
      [0.5, 0.5],
      [1, 0],
    ]);
    for (const token of [-1, 2]) {
      const {tokens} = speculativeAccept(tf.tensor1d([0, token], 'int32'), q, p, seedOf(1, 2), at(0));
      const [first, second] = tokens.dataSync();
      expect(first).to.be.oneOf([0, 1]);
      expect(second).to.equal(token < 0 ? -2 : -1);
    }
  });

  it('tells rows of zeros by −2: the verifier’s in place of its token, the draft’s after it', () => {
    const [zeros, half] = [
      [0, 0],
      [0.5, 0.5],
    ];
    const accept = (block: number[], draft: number[][], verifier: number[][]) => {
      const {tokens, last, position} = speculativeAccept(
        tf.tensor1d(block, 'int32'),
        tf.tensor2d(draft),
        tf.tensor2d(verifier),
        seedOf(1, 2),
        at(7),
      );
      return [tokens, last, position].map((tensor) => [...tensor.dataSync()]);
    };
    const sure = [0, 1];
    expect(accept([0, 1, 1], [sure, sure], [sure, sure, zeros])).to.deep.equal([[1, 1, -2], [1, -2], [10]]);
    expect(accept([0, 1, 1], [sure, sure], [sure, zeros, half])).to.deep.equal([[1, -2, -1], [1, -2], [9]]);
    expect(accept([0, 1, 1], [sure, sure], [zeros, half, half])).to.deep.equal([[-2, -1, -1], [0, -2], [8]]);
    expect(accept([0, 1, -1], [sure, zeros], [sure, sure, half])).to.deep.equal([[1, 1, -2], [1, 1], [9]]);
    expect(accept([0, -1, -1], [zeros, zeros], [sure, half, half])).to.deep.equal([[1, -2, -2], [0, 1], [8]]);
    // A token that was rejected before it came to the draft's row of zeros: that round tells nothing of it.
    expect(accept([0, 0, -1], [[1, 0], zeros], [sure, half, half])).to.deep.equal([[1, -1, -1], [0, 1], [8]]);
  });

  it('names the argument that does not fit', () => {
    const [block, q, p] = [tf.zeros([3], 'int32'), tf.zeros([2, 8]), tf.zeros([3, 8])];
    expect(() => speculativeAccept(tf.zeros([2], 'int32'), q, p, seedOf(0, 0), at(0))).to.throw(
      '[SpeculativeAccept] block must have shape [3] but has [2]',
    );
    expect(() => speculativeAccept(block, q, tf.zeros([2, 8]), seedOf(0, 0), at(0))).to.throw(
      '[SpeculativeAccept] verifier must have shape [3,8] but has [2,8]',
    );
    expect(() => speculativeAccept(block, q, tf.zeros([3, 9]), seedOf(0, 0), at(0))).to.throw(
      '[SpeculativeAccept] verifier must have shape [3,8] but has [3,9]',
    );
  });
});

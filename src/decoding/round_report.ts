/** A round's report: the one small tensor that the host reads of a round. It is packed and unpacked here and nowhere else. */
import * as tf from '@tensorflow/tfjs-core';

/** What a round says of itself. */
export interface RoundReport {
  /** The new tokens: the accepted drafted ones, then one of the verifier's own. */
  tokens: number[];
  /** Whether logits that are not finite ended the round: the verifier's, or the draft's. */
  broken: boolean;
  /** Keys that each set's union lists, [S]; empty where verification was dense. */
  counts: Int32Array;
  /** Keys that each row of each set sees, [S,gamma + 1] row by row. */
  kept: Int32Array;
}

/**
 * int32 [gamma + 1 + S + S * (gamma + 1)]: the tokens with -1 after the last one, the counts, the kept keys.
 * @param tokens int32 [gamma + 1], from SpeculativeAccept or, with gamma 0, from SampleToken: where logits are not finite, the first tells
 *     it by -2, the second by -1
 * @param selected what NucleusSelect gave: counts int32 [S], kept int32 [S,gamma + 1]
 */
export function packReport(
  tokens: tf.Tensor1D,
  selected?: {counts: tf.Tensor1D; kept: tf.Tensor2D},
): tf.Tensor1D {
  return selected ? tf.concat1d([tokens, selected.counts, tf.reshape(selected.kept, [-1])]) : tokens;
}

/** @param sets of the round's plan; 0 where verification was dense */
export function unpackReport(report: Int32Array, gamma: number, sets: number): RoundReport {
  const slots = report.subarray(0, gamma + 1);
  const end = slots.findIndex((token) => token < 0);
  return {
    tokens: [...slots.subarray(0, end < 0 ? gamma + 1 : end)],
    broken: end === 0 || slots.includes(-2),
    counts: report.subarray(gamma + 1, gamma + 1 + sets),
    kept: report.subarray(gamma + 1 + sets),
  };
}

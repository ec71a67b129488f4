/**
 * The attention history: for each key set, a running average of what the verifier attended to in the accepted rows. A mixture map may
 * weigh it beside the draft's attention, because what a layer attended to a moment ago says much about what it attends to now.
 */
import * as tf from '@tensorflow/tfjs-core';

/**
 * The factors by which n accepted rows carry the average on, for every n from 0 to `rows`: [rows + 1,1 + rows]. Column 0 is the factor of
 * the average so far, column 1 + i that of row i of the block. Rows that were not accepted have the factor 0.
 * @param historyRows how many rows the average covers, roughly: each row's share decays by 1 - 1 / historyRows a row
 */
export function decayFactors(historyRows: number, rows: number): number[][] {
  const keep = 1 - 1 / historyRows;
  return Array.from({length: rows + 1}, (_, n) => [
    keep ** n,
    ...Array.from({length: rows}, (_, i) => (i < n ? (1 - keep) * keep ** (n - 1 - i) : 0)),
  ]);
}

/**
 * The attention history after a block.
 * @param history float32 [S,C]
 * @param rows float32 [S,T,C]: each set's attention in the block's rows
 * @param factors float32 [T + 1,1 + T]: {@link decayFactors}
 * @param accepted int32 [1]: how many of the block's rows were accepted
 */
export function updateHistory(
  history: tf.Tensor2D,
  rows: tf.Tensor3D,
  factors: tf.Tensor2D,
  accepted: tf.Tensor1D,
): tf.Tensor2D {
  const row = tf.expandDims<tf.Tensor3D>(tf.gather(factors, accepted), 0); // [1,1,1 + T]
  const all = tf.concat3d([tf.expandDims<tf.Tensor3D>(history, 1), rows], 1);
  return tf.reshape(tf.matMul(row, all), history.shape);
}

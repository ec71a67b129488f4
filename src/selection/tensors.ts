/**
 * Makes the constant tensors of a selection plan: the mix that NucleusSelect reads, the heads whose attention the draft gives, and the decay
 * of the attention history.
 */
import * as tf from '@tensorflow/tfjs-core';

import type {AttentionOf} from '../../models/llama/llama.js';
import {decayFactors} from './attention_history.js';
import type {SelectionPlan} from './plan.js';

/** The constant tensors of a plan for blocks of a given number of rows. They are kept until disposed of. */
export class SelectionTensors {
  /** float32 [S,R], or [S,R + S] with an attention history: how each set weighs the attention rows. */
  readonly mix: tf.Tensor2D;
  /** The attention that each of the draft's passes is asked for. */
  readonly attention: AttentionOf;
  /** float32 [rows + 1,1 + rows]: {@link decayFactors} of the plan, where it has an attention history. */
  readonly decay: tf.Tensor2D | undefined;
  private readonly tensors: tf.Tensor[] = [];

  /** @param rows of a block */
  constructor(
    readonly plan: SelectionPlan,
    rows: number,
  ) {
    const {attention, mix, historyRows} = plan;
    const {granularity, layers} = attention;
    const keep = <T extends tf.Tensor>(tensor: T): T => {
      this.tensors.push(tf.keep(tensor));
      return tensor;
    };
    try {
      this.mix = keep(tf.tensor2d(mix.flat(), [mix.length, mix[0].length], 'float32'));
      const heads =
        attention.granularity === 'head'
          ? attention.heads.map((list) => keep(tf.tensor1d(list, 'int32')))
          : undefined;
      this.attention = {granularity, layers, ...(heads && {heads})};
      this.decay = historyRows === undefined ? undefined : keep(tf.tensor2d(decayFactors(historyRows, rows)));
    } catch (error) {
      this.dispose();
      throw error;
    }
  }

  dispose(): void {
    tf.dispose(this.tensors);
  }
}

/**
 * tf.multinomial: draws with replacement from rows of logits or probabilities. A seed gives the same draws on every
 * device of this backend, but not on other backends. Rows are drawn independently.
 */
import {Multinomial, type MultinomialAttrs, type TensorInfo} from '@tensorflow/tfjs-core';

import {cast, compute, createKernel, withTemporaries} from './kernel.js';

export const multinomialConfig = createKernel<{logits: TensorInfo}, MultinomialAttrs>(
  Multinomial,
  ({inputs: {logits}, attrs: {numSamples, seed, normalized}, backend}) =>
    withTemporaries(backend, (keep) => {
      const $logits = keep(cast(backend, logits, 'float32'));
      const shape = [logits.shape[0], numSamples];
      return compute(backend, 'Multinomial', [$logits], shape, 'int32', [seed, normalized ? 1 : 0]);
    }),
);

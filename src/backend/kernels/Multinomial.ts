/**
 * Draws with replacement from rows of logits or probabilities. A seed reproduces on every device of this backend, and rows are
 * independent; other backends draw other numbers for it.
 */
import {Multinomial, type MultinomialAttrs, type TensorInfo} from '@tensorflow/tfjs-core';

import {cast, compute, createKernel} from './kernel.js';

export const multinomialConfig = createKernel<{logits: TensorInfo}, MultinomialAttrs>(
  Multinomial,
  ({inputs: {logits}, attrs: {numSamples, seed, normalized}, backend}) => {
    const $logits = cast(backend, logits, 'float32');
    const result = compute(backend, 'Multinomial', [$logits], [logits.shape[0], numSamples], 'int32', [
      seed,
      normalized ? 1 : 0,
    ]);
    backend.disposeIntermediateTensorInfo($logits);
    return result;
  },
);

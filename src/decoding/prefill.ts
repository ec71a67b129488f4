/** Reads known tokens: those of a prompt, or of rows whose keys and values are computed anew with dense attention. */
import * as tf from '@tensorflow/tfjs-core';

import type {Models, PairCaches} from '../../models/pair.js';
import type {LoopState, NamedTensors} from './state.js';

/**
 * Computes the keys and values of `tokens`, which stand at `position` and after, in both models' caches; in the verifier's alone without
 * `withDraft`. Every row sees every key before it. Callers pass at most `verifier.prefillRows` tokens at once.
 */
export function prefill<S extends PairCaches & NamedTensors>(
  state: LoopState<S>,
  {verifier, draft}: Models,
  tokens: readonly number[],
  position: number,
  withDraft: boolean,
): void {
  state.advance((caches) => {
    const input = {
      tokens: tf.tensor1d(tokens as number[], 'int32'),
      position: tf.tensor1d([position], 'int32'),
      outputs: [],
    };
    const {cache: verifierCache} = verifier.forward({...input, cache: caches.verifierCache});
    const draftCache =
      withDraft && draft ? draft.forward({...input, cache: caches.draftCache}).cache : caches.draftCache;
    return {...caches, verifierCache, draftCache};
  });
}

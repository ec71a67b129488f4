/** Reads known tokens: those of a prompt, or of rows whose keys and values are computed anew with dense attention. */
import * as tf from '@tensorflow/tfjs-core';

import {tokensForDraft, type Models, type PairCaches} from '../../models/pair.js';
import type {Llama} from '../../models/llama/llama.js';
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
    const start = tf.tensor1d([position], 'int32');
    const read = (model: Llama, ids: readonly number[], cache: tf.Tensor3D[]) =>
      model.forward({tokens: tf.tensor1d([...ids], 'int32'), position: start, cache, outputs: []}).cache;
    const verifierCache = read(verifier, tokens, caches.verifierCache);
    const draftCache =
      withDraft && draft ? read(draft, tokensForDraft(draft, tokens), caches.draftCache) : caches.draftCache;
    return {...caches, verifierCache, draftCache};
  });
}

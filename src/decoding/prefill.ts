/** Reads known tokens: those of a prompt, or of rows whose keys and values are computed anew with dense attention. */
import * as tf from '@tensorflow/tfjs-core';

import {tokensForDraft, type Models, type PairCaches} from '../../models/pair.js';
import type {Llama} from '../../models/llama/llama.js';
import type {LoopState, NamedTensors} from './state.js';

/**
 * Computes the keys and values of `tokens`, which stand at `position` and after, in both models' caches; in the verifier's alone without
 * `withDraft`. Every row sees every key before it. The tokens are one chunk of {@link chunks}, or shorter.
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

/** Cuts the rows from `from` up to `to` into chunks [start, end) of as many rows as go through a model at once. */
export function* chunks(
  from: number,
  to: number,
  {verifier}: Models,
): Generator<[start: number, end: number]> {
  for (; from < to; from += verifier.prefillRows) yield [from, Math.min(from + verifier.prefillRows, to)];
}

/** A pair of models that work together: a verifier and its draft, which may be missing. */
import * as tf from '@tensorflow/tfjs-core';

import type {LayerMap} from './layer_map.js';
import type {Llama} from './llama/llama.js';

export interface Models {
  verifier: Llama;
  draft?: Llama;
}

export interface Pair extends Models {
  /** Which attention of the draft chooses keys for which verifier layer. */
  layerMap?: LayerMap;
  /** Why there is no layer map. */
  layerMapReason?: string;
  /** Positions that the caches hold. */
  contextLength: number;
}

/** The caches of both models: keys and values of layer 0, of layer 1, ..., each [G,C,D]. */
export type PairCaches = {verifierCache: tf.Tensor3D[]; draftCache: tf.Tensor3D[]};

/** The longest context in tokens that both models were made for. */
export function longestContext({verifier, draft = verifier}: Models): number {
  return Math.min(verifier.config.maxPositionEmbeddings, draft.config.maxPositionEmbeddings);
}

/** Empty caches for `capacity` positions. If memory does not suffice for all of them, none stays allocated. */
export function newCaches({verifier, draft}: Models, capacity: number): PairCaches {
  const verifierCache = verifier.newCache(capacity);
  try {
    return {verifierCache, draftCache: draft?.newCache(capacity) ?? []};
  } catch (error) {
    tf.dispose(verifierCache);
    throw error;
  }
}

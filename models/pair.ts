/** A pair of models that work together: a verifier and its draft, which may be missing. */
import * as tf from '@tensorflow/tfjs-core';

import type {LayerMap} from './layer_map.js';
import type {Llama} from './llama/llama.js';

export interface Models {
  verifier: Llama;
  draft?: Llama;
  /**
   * How many of the first token ids mean the same to both tokenizers. Without it every id counts for which both models
   * have a row.
   */
  sharedVocabulary?: number;
}

export interface Pair extends Models {
  /** Which attention of the draft chooses keys for which verifier layer. */
  layerMap?: LayerMap;
  /** Why there is no layer map. */
  layerMapReason?: string;
  /** Positions that the verifier's caches hold. */
  contextLength: number;
}

/** The caches of both models: keys and values of layer 0, of layer 1, ..., each [G,C,D]; C may be less for the draft. */
export type PairCaches = {verifierCache: tf.Tensor3D[]; draftCache: tf.Tensor3D[]};

/** The longest context in tokens that both models were made for. */
export function longestContext({verifier, draft = verifier}: Models): number {
  return Math.min(verifier.config.maxPositionEmbeddings, draft.config.maxPositionEmbeddings);
}

/** Positions that the draft's caches hold where the verifier's hold `capacity`: no more than the draft was made for. */
export function draftCapacity(draft: Llama, capacity: number): number {
  return Math.min(capacity, draft.config.maxPositionEmbeddings);
}

/**
 * How many of the first token ids the draft may propose. The vocabularies of a pair may be padded to different sizes,
 * and either model may have tokens added that the other lacks.
 */
export function draftableTokens({verifier, draft = verifier, sharedVocabulary = Infinity}: Models): number {
  return Math.min(sharedVocabulary, verifier.config.vocabSize, draft.config.vocabSize);
}

/** The draft reads its last token in place of the verifier's tokens for which it has no row. */
export function tokensForDraft(draft: Llama, tokens: readonly number[]): number[] {
  return tokens.map((token) => Math.min(token, draft.config.vocabSize - 1));
}

/** Empty caches for `capacity` positions. If memory does not suffice for all of them, none stays allocated. */
export function newCaches({verifier, draft}: Models, capacity: number): PairCaches {
  const verifierCache = verifier.newCache(capacity);
  try {
    return {verifierCache, draftCache: draft?.newCache(draftCapacity(draft, capacity)) ?? []};
  } catch (error) {
    tf.dispose(verifierCache);
    throw error;
  }
}

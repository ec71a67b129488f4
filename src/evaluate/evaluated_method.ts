/** A method of choosing keys, checked against the pair of models that it is evaluated on. */
import {createHash} from 'node:crypto';

import type {LlamaConfig} from '../../models/hf/config.js';
import {readLayerMap, type LayerMap} from '../../models/layer_map.js';
import type {LanguageModel} from '../language_model.js';
import {parseMethod, type Method} from './methods.js';
import {policyOf, type Policy} from './policy.js';

/**
 * What an evaluation needs of a {@link LanguageModel}: the models (the draft may be missing), their layer map and their
 * tokenizer.
 */
export type EvaluatedPair = Pick<LanguageModel, 'verifier' | 'draft' | 'layerMap' | 'tokenizer'> &
  Partial<Pick<LanguageModel, 'sharedVocabulary'>>;

/**
 * The layer map that a method asks for with its option `map`.
 * @param map '': the pair's own map; 'kl' or 'mixture': that part of the pair's own map; else a file
 * @param pairMap the pair's own map
 * @throws Error where there is no such map, or the file is not a map of this pair
 */
function layerMapOf(map: string, draft: LlamaConfig, verifier: LlamaConfig, pairMap?: LayerMap): LayerMap {
  const isPart = map === '' || map === 'kl' || map === 'mixture';
  const found = isPart ? pairMap : readLayerMap(map, draft, verifier);
  if (!found)
    throw new Error(
      "[evaluate] specattn needs a layer map: run 'specattn calibrate' for this pair, or give one as map=FILE",
    );
  if (map === 'mixture' && found.kind !== 'mixture')
    throw new Error(
      `[evaluate] map=mixture needs a map of the kind 'mixture', but the pair's is '${found.kind}'`,
    );
  if (map !== 'kl' || found.kind === 'kl') return found;
  const {mixture: _, ...rest} = found;
  return {...rest, kind: 'kl'};
}

/** Everything that can be refused is refused by the constructor, before anything is computed. */
export class EvaluatedMethod {
  readonly method: Method;
  private readonly layerMap?: LayerMap;
  private readonly identity: string;

  /** @param setting all other settings that the results depend on; records are told apart by it */
  constructor(
    /** The method as the user wrote it: 'specattn:p=0.95'. */
    readonly text: string,
    private readonly pair: EvaluatedPair,
    setting: unknown,
  ) {
    const {verifier, draft, layerMap} = pair;
    this.method = parseMethod(text);
    if (this.method.kind === 'specattn') {
      if (!draft) throw new Error('[evaluate] specattn needs a draft, but the model was loaded without one');
      this.layerMap = layerMapOf(this.method.map, draft.config, verifier.config, layerMap);
    }
    this.identity = JSON.stringify([
      this.method,
      this.layerMap,
      verifier.config.sha256,
      verifier.cacheBytesPerElement,
      draft?.config.sha256,
      setting,
    ]);
  }

  get refreshEvery(): number {
    return this.method.kind === 'specattn' ? this.method.refreshEvery : 0;
  }

  /** A new policy, which the caller disposes of; undefined where every layer sees every key. */
  policy(): Policy | undefined {
    return policyOf(this.method, this.pair.verifier.config, this.pair.draft?.config, this.layerMap);
  }

  /** The key under which the result of this method on a piece of work is recorded. */
  key({hash}: {hash: string}): string {
    return createHash('sha256').update(this.identity).update(hash).digest('hex').slice(0, 24);
  }
}

/** A method of an evaluation at work on a pair. */
import {createHash} from 'node:crypto';

import type {LlamaConfig} from '../../models/hf/config.js';
import {readLayerMap, type LayerMap} from '../../models/layer_map.js';
import type {LanguageModel} from '../language_model.js';
import {parseMethod, type Method} from './methods.js';
import {policyOf, type Policy} from './policy.js';

/** A loaded pair, or a verifier alone: what {@link LanguageModel} holds. */
export type EvaluatedPair = Pick<LanguageModel, 'verifier' | 'draft' | 'layerMap' | 'tokenizer'>;

/**
 * The layer map that a method asks for.
 * @param own the pair's
 */
function layerMapOf(map: string, draft: LlamaConfig, verifier: LlamaConfig, own?: LayerMap): LayerMap {
  const isPart = map === '' || map === 'kl' || map === 'mixture';
  const found = isPart ? own : readLayerMap(map, draft, verifier);
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

/** A method for a pair: checked before anything is computed. */
export class EvaluatedMethod {
  readonly method: Method;
  private readonly layerMap?: LayerMap;
  private readonly identity: string;

  /** @param setting what else tells its records from others */
  constructor(
    /** As it was asked for. */
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

  /** To be disposed of; undefined where every layer sees every key. */
  policy(): Policy | undefined {
    return policyOf(this.method, this.pair.verifier.config, this.pair.draft?.config, this.layerMap);
  }

  /** Of its record of what has this hash. */
  key({hash}: {hash: string}): string {
    return createHash('sha256').update(this.identity).update(hash).digest('hex').slice(0, 24);
  }
}

/** `keptKeys`: decodes a text and reports which keys the verifier reads for every row. */
import {longestContext} from '../../models/pair.js';
import {KeyReads, readReductions} from '../selection/key_reads.js';
import type {LanguageModel} from '../language_model.js';
import {TeacherForced} from './decode.js';
import {makeMethod} from './methods.js';
import {policyOf, type Block, type Policy} from './policy.js';
import {checkNames, checkValue, TEXT} from '../../backend/check.js';
import {resolveOptions} from '../options.js';
import {assertEmbedded} from '../decoding/prompt.js';
import {yieldToEventLoop} from '../decoding/yield_to_event_loop.js';

export interface KeptKeysOptions {
  /** Share of the draft's attention that the kept keys hold, in (0, 1]. Default 0.95. */
  p?: number;
  /** Tokens drafted a round. Default 4. */
  gamma?: number;
  /** How many tokens are read densely, as a prompt. Default: a tenth of the text. */
  prompt?: number;
  /** Called with the rows decoded so far and in all. */
  onProgress?: (progress: {what: string; loaded: number; total: number}) => void;
  /** Ends the work with an error. */
  signal?: AbortSignal;
}

/** The layers of the verifier that read the same keys, and these keys. */
export interface KeptSet {
  /** Layers of the verifier. */
  layers: number[];
  /**
   * For each decoded row, one number a key: 1 where the row read it, else 0. Row r is at position `first + r` and reads
   * no later key.
   */
  rows: Uint8Array[];
}

export interface KeptKeys {
  /** The text that each token adds. */
  tokens: string[];
  /** Position of the first decoded row. */
  first: number;
  p: number;
  gamma: number;
  /** Number of first keys that every row reads. */
  sinks: number;
  /** Number of most recent keys that every row reads. */
  recent: number;
  /** Layers of the verifier that read every key. */
  denseLayers: number[];
  sets: KeptSet[];
  /** 1 - kept keys / visible keys, over the decoded rows of the sparse layers. */
  kvReduction: number;
}

/**
 * Decodes a text as `evaluate` does, in rounds whose drafts are the text itself, and reports which keys the verifier
 * read for every row in every sparse layer: those that the draft's attention chose, the first ones and the most recent
 * ones.
 *
 * ```ts
 * const lm = await load();
 * const {tokens, sets} = await keptKeys(lm, 'It was a dark and stormy night; the rain fell in torrents', {p: 0.9});
 * const [last] = sets[0].rows.slice(-1);
 * console.log(tokens.filter((_, key) => last[key])); // what the last row read
 * ```
 *
 * @throws Error where an option does not fit, the pair has no draft or no layer map, the text is shorter than two
 *     tokens or longer than the context, or the signal fires
 */
export async function keptKeys(
  {
    verifier,
    draft,
    layerMap,
    tokenizer,
  }: Pick<LanguageModel, 'verifier' | 'draft' | 'layerMap' | 'tokenizer'>,
  text: string,
  options: KeptKeysOptions = {},
): Promise<KeptKeys> {
  checkNames('keptKeys', options, ['p', 'gamma', 'prompt', 'onProgress', 'signal']);
  const {p = 0.95, gamma = 4, prompt, onProgress, signal} = options;
  checkValue('keptKeys', 'text', text, TEXT);
  if (!draft || !layerMap)
    throw new Error(`[keptKeys] the pair must have ${draft ? 'a layer map' : 'a draft'} but has none`);
  const method = makeMethod('keptKeys', 'specattn', {p, gamma});
  const ids = tokenizer.encode(text);
  const context = longestContext({verifier, draft});
  if (ids.length < 2 || ids.length > context)
    throw new Error(`[keptKeys] text must have 2 to ${context} tokens but has ${ids.length}`);
  assertEmbedded('keptKeys', tokenizer, ids, verifier.config.vocabSize);
  const read = prompt ?? Math.max(1, Math.round(0.1 * ids.length));
  if (!Number.isInteger(read) || read < 1 || read >= ids.length)
    throw new Error(`[keptKeys] prompt must be a whole number from 1 to ${ids.length - 1} but is ${read}`);

  const chosen = policyOf(method, verifier.config, draft.config, layerMap);
  const {sinks, recent} = resolveOptions();
  const layers = [...Array(verifier.config.numHiddenLayers).keys()];
  const plan = chosen?.plan.sets ?? layers.map(() => -1);
  const sets = [...new Set(plan.filter((set) => set >= 0))].map((set): KeptSet => ({
    layers: layers.filter((layer) => plan[layer] === set),
    rows: [],
  }));
  const watched = chosen && watch(chosen, sets);
  const reads = new KeyReads(verifier.config, verifier.cacheBytesPerElement);
  const decoder = new TeacherForced({verifier, draft}, ids.length);
  try {
    const blocks = decoder.decode(ids, read, {policy: watched, gamma, refreshEvery: 0, reads});
    let loaded = 0;
    for (const {rows} of blocks) {
      onProgress?.({what: 'decoding', loaded: (loaded += rows), total: ids.length - read});
      await yieldToEventLoop(signal);
    }
  } finally {
    chosen?.dispose?.();
    decoder.dispose();
  }
  const stream = tokenizer.stream();
  return {
    tokens: ids.map((id) => stream.push([id])),
    first: read - 1,
    ...{p, gamma, sinks, recent},
    denseLayers: layers.filter((layer) => plan[layer] < 0),
    sets,
    kvReduction: readReductions(reads.sums).kvReduction,
  };
}

/**
 * Wraps a policy so that the keys it lists are appended to `sets`, row by row.
 * @param sets one entry for each key set of the policy, in the policy's order
 */
function watch(policy: Policy, sets: KeptSet[]): Policy {
  return {
    plan: policy.plan,
    attention: policy.attention,
    remember: policy.remember && ((weights) => policy.remember!(weights)),
    select: (block: Block) => {
      const selected = policy.select(block);
      if ('listed' in selected) {
        const [keys, bits, counts] = [selected.listed.keys, selected.listed.bits, selected.listed.counts].map(
          (tensor) => tensor.dataSync() as Int32Array,
        );
        sets.forEach(({rows}, set) => {
          const from = set * block.capacity;
          for (let row = 0; row < block.rows; row++) {
            const kept = new Uint8Array(block.capacity);
            for (let i = from; i < from + counts[set]; i++) kept[keys[i]] = (bits[i] >> row) & 1;
            rows.push(kept);
          }
        });
      }
      return selected;
    },
  };
}

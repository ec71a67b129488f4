/** One round of speculative decoding, and one step of plain decoding, as functions of tensors. */
import * as tf from '@tensorflow/tfjs-core';

import {nativeBackend} from '../../backend/current.js';
import type {Llama} from '../../models/llama/llama.js';
import {draftableTokens} from '../../models/pair.js';
import {RandomStream, nucleusSelect, sampleToken, speculativeAccept} from '../../ops/index.js';
import type {ResolvedOptions} from '../options.js';
import {updateHistory} from '../selection/attention_history.js';
import type {SelectionTensors} from '../selection/tensors.js';
import {packReport} from './round_report.js';
import type {SequenceState} from './state.js';
import type {Step} from './steps.js';

/** position + i, made by kernels alone. */
function offset(position: tf.Tensor1D, i: number): tf.Tensor1D {
  return i === 0 ? position : tf.add(position, tf.fill([1], i, 'int32'));
}

/** The next token from the verifier alone. Its report is that of a round without drafted tokens. */
export function plainStep(verifier: Llama): Step<SequenceState> {
  return (state, mark) => {
    const {last, position, seed, settings} = state;
    const token = tf.slice1d(last, 1, 1);
    const {lastLogits, cache} = verifier.forward({
      tokens: token,
      position,
      cache: state.verifierCache,
      outputs: ['lastLogits'],
    });
    mark('verify');
    const stream = RandomStream.plain;
    const {token: next} = sampleToken(lastLogits!, seed, position, {settings, stream});
    mark('accept');
    return {
      state: {
        ...state,
        last: tf.concat1d([token, next]),
        position: offset(position, 1),
        verifierCache: cache,
      },
      outputs: [packReport(next)],
    };
  };
}

/**
 * A round: the draft proposes `gamma` tokens, its attention selects keys, the verifier checks all of them in one pass over these keys, and
 * the longest prefix that the verifier accepts is kept with one token more. Its one output is the round's report.
 *
 * Source: speculative sampling, arXiv 2211.17192 and 2302.01318; the selection, arXiv 2510.27641.
 *
 * @param selection how keys are selected; undefined: the verifier sees them all
 * @param draftable how many of the first token ids the draft may propose
 */
export function speculativeRound(
  draft: Llama,
  verifier: Llama,
  gamma: number,
  selection: SelectionTensors | undefined,
  options: Pick<ResolvedOptions, 'sinks' | 'recent' | 'union'>,
  draftable = draftableTokens({draft, verifier}),
): Step<SequenceState> {
  return (state, mark) => {
    const last = withinVocabulary(state.last, draft, verifier);
    const drafted = draftTokens(draft, gamma, {...state, last}, selection, draftable);
    mark('draft');

    const selected = selection && selectKeys(drafted.attention, selection, state, options);
    mark('select');

    // All rows in one pass: the last token, then the drafted ones.
    const {position, seed, settings, attentionHistory} = state;
    const block = tf.concat1d([tf.slice1d(state.last, 1, 1), ...drafted.tokens]);
    const verified = verifier.forward({
      tokens: readable(block),
      position,
      cache: state.verifierCache,
      outputs: selection?.decay ? ['logits', 'setWeights'] : ['logits'],
      selection: selected && {
        ...selected,
        sets: selection.plan.sets,
        setsPerLayer: selection.plan.setsPerLayer,
      },
    });
    mark('verify');

    const stream = RandomStream.plain;
    const {probabilities} = sampleToken(verified.logits!, seed, position, {settings, stream});
    const accepted = speculativeAccept(
      block,
      widen(tf.concat2d(drafted.probabilities, 0), verifier.config.vocabSize),
      probabilities,
      seed,
      position,
    );
    const history =
      selection?.decay &&
      updateHistory(
        attentionHistory!,
        verified.setWeights!,
        selection.decay,
        tf.sub(accepted.position, position),
      );
    const report = packReport(accepted.tokens, selected);
    mark('accept');
    return {
      state: {
        ...state,
        last: accepted.last,
        position: accepted.position,
        verifierCache: verified.cache,
        draftCache: drafted.cache,
        attentionHistory: history ?? attentionHistory,
      },
      outputs: [report],
    };
  };
}

/** Rows of `x` with zeros after them, up to `width` columns. */
function widen(x: tf.Tensor2D, width: number): tf.Tensor2D {
  const missing = width - x.shape[1];
  return missing > 0
    ? tf.pad2d(x, [
        [0, 0],
        [0, missing],
      ])
    : x;
}

/**
 * Tokens that a model can look up. A draft whose logits are not finite proposes -1, of which the native backend makes a
 * row of zeros; other backends refuse it.
 */
function readable(tokens: tf.Tensor1D): tf.Tensor1D {
  return nativeBackend() ? tokens : tf.relu(tokens);
}

/** The verifier's tokens as the draft reads them: its last token stands for those that it has no row for. */
function withinVocabulary(tokens: tf.Tensor1D, draft: Llama, verifier: Llama): tf.Tensor1D {
  const rows = draft.config.vocabSize;
  return rows < verifier.config.vocabSize ? tf.minimum(tokens, tf.fill([1], rows - 1, 'int32')) : tokens;
}

/**
 * `gamma` steps of the draft: tokens int32 [1] each, their distributions [1,draftable], and the attention rows of each
 * step, [R,C].
 */
function draftTokens(
  draft: Llama,
  gamma: number,
  {last, position, seed, settings, draftCache, verifierCache}: SequenceState,
  selection: SelectionTensors | undefined,
  draftable: number,
) {
  const {vocabSize} = draft.config;
  const attention = selection?.attention;
  const capacity = verifierCache[0].shape[1];
  const tokens: tf.Tensor1D[] = [];
  const probabilities: tf.Tensor2D[] = [];
  const rows: tf.Tensor2D[] = [];
  let cache = draftCache;
  for (let i = 0; i < gamma; i++) {
    // The first step takes the last two tokens. After a round whose drafts were all accepted, the last of them is not in the draft's
    // cache yet; after any other round it is only written again.
    const step = draft.forward({
      tokens: readable(i === 0 ? last : tokens[i - 1]),
      position: offset(position, i === 0 ? -1 : i),
      cache,
      outputs: attention ? ['lastLogits', 'attention'] : ['lastLogits'],
      attention,
    });
    cache = step.cache;
    const stream = RandomStream.draft;
    const logits =
      draftable < vocabSize ? tf.slice2d(step.lastLogits!, [0, 0], [1, draftable]) : step.lastLogits!;
    const drawn = sampleToken(logits, seed, offset(position, i), {settings, stream});
    if (step.attention) rows.push(widen(step.attention, capacity));
    tokens.push(drawn.token);
    probabilities.push(drawn.probabilities);
  }
  return {tokens, probabilities, attention: rows, cache};
}

/** The keys that the draft attended to, for every key set at once. */
function selectKeys(
  attention: tf.Tensor2D[],
  {mix, decay}: SelectionTensors,
  {p, position, attentionHistory}: SequenceState,
  {sinks, recent, union}: Pick<ResolvedOptions, 'sinks' | 'recent' | 'union'>,
) {
  const fixed = decay && attentionHistory;
  return nucleusSelect(attention, mix, p!, position, {sinks, recent, union, fixed});
}

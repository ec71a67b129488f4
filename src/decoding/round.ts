/** One round of speculative decoding, and one step of plain decoding, as functions of tensors. */
import * as tf from '@tensorflow/tfjs-core';

import type {Llama} from '../../models/llama/llama.js';
import {RandomStream, nucleusSelect, sampleToken, speculativeAccept} from '../../ops/index.js';
import type {ResolvedOptions} from '../options.js';
import type {Step} from './record.js';
import {lookBack, type SelectionTensors} from '../selection/selection.js';

export type Sampling = Pick<ResolvedOptions, 'temperature' | 'topK' | 'topP' | 'minP'>;

/**
 * The state's tensors: `last` int32 [2], the two last tokens of the sequence; `position` int32 [1], that of the very last, whose
 * keys and values no cache holds yet; `seed` int32 [2]; then the verifier's caches and the draft's; and, once sets of keys looked back
 * at their own attention, its running average over the accepted rows, float32 [S,C].
 */
export const LAST = 0;
export const POSITION = 1;
export const SEED = 2;
export const CACHES = 3;

/** position + i, made by kernels alone. */
function offset(position: tf.Tensor1D, i: number): tf.Tensor1D {
  return i === 0 ? position : tf.add(position, tf.fill([1], i, 'int32'));
}

function sample(
  logits: tf.Tensor2D,
  seed: tf.Tensor1D,
  position: tf.Tensor1D,
  sampling: Sampling,
  stream: number,
) {
  return sampleToken(logits, seed, position, {...sampling, stream});
}

/** The next token from the verifier alone. Outputs: the token, int32 [1]. */
export function plainStep(verifier: Llama, sampling: Sampling): Step {
  return (state, mark) => {
    const [last, position, seed] = state as [tf.Tensor1D, tf.Tensor1D, tf.Tensor1D];
    const token = tf.slice1d(last, 1, 1);
    const {lastLogits, cache} = verifier.forward({
      tokens: token,
      position,
      cache: state.slice(CACHES) as tf.Tensor3D[],
      outputs: ['lastLogits'],
    });
    mark('verify');
    const {token: next} = sample(lastLogits!, seed, position, sampling, RandomStream.plain);
    mark('accept');
    return {state: [tf.concat1d([token, next]), offset(position, 1), seed, ...cache], outputs: [next]};
  };
}

/**
 * A round: the draft proposes `gamma` tokens, its attention selects keys, the verifier checks all of them in one pass, and the
 * longest prefix that survives is accepted with one token more.
 *
 * Outputs: a report, int32 [gamma + 1 + S + S * (gamma + 1)]: the new tokens (-1 after the last), then how many keys each set's union
 * holds and how many of them each row sees (S = 0 where verification is dense).
 *
 * @param selection how keys are selected, or undefined: the verifier sees them all
 */
export function speculativeRound(
  draft: Llama,
  verifier: Llama,
  gamma: number,
  sampling: Sampling,
  selection: SelectionTensors | undefined,
  options: Pick<ResolvedOptions, 'sinks' | 'recent' | 'union'>,
): Step {
  const verifierCaches = 2 * verifier.config.numHiddenLayers;
  const caches = verifierCaches + 2 * draft.config.numHiddenLayers;
  const attention = selection?.attention;
  return (state, mark) => {
    const [last, position, seed] = state as [tf.Tensor1D, tf.Tensor1D, tf.Tensor1D];
    const verifierCache = state.slice(CACHES, CACHES + verifierCaches) as tf.Tensor3D[];
    let draftCache = state.slice(CACHES + verifierCaches, CACHES + caches) as tf.Tensor3D[];
    const [own] = state.slice(CACHES + caches) as tf.Tensor2D[];

    // Draft. The first step takes the last two tokens: after a round whose drafts were all accepted the last of them is not in the
    // draft's cache yet; after any other it is only written again.
    let tokens = last;
    const drafted: tf.Tensor1D[] = [];
    const draftProbabilities: tf.Tensor2D[] = [];
    const attentionSteps: tf.Tensor2D[] = [];
    for (let i = 0; i < gamma; i++) {
      const step = draft.forward({
        tokens,
        position: offset(position, i === 0 ? -1 : i),
        cache: draftCache,
        outputs: attention ? ['lastLogits', 'attention'] : ['lastLogits'],
        attention,
      });
      draftCache = step.cache;
      const {token, probabilities} = sample(
        step.lastLogits!,
        seed,
        offset(position, i),
        sampling,
        RandomStream.draft,
      );
      if (step.attention) attentionSteps.push(step.attention);
      drafted.push(token);
      draftProbabilities.push(probabilities);
      tokens = token;
    }
    mark('draft');

    // Select: the keys that the draft looked at, for every set of layers at once.
    const {sinks, recent, union} = options;
    const fading = selection?.fading;
    const fixed = fading && own;
    const selected =
      selection &&
      nucleusSelect(attentionSteps, selection.mix, selection.p, position, {sinks, recent, union, fixed});
    mark('select');

    // Verify all rows in one pass: the last token, then the drafted ones.
    const block = tf.concat1d([tf.slice1d(last, 1, 1), ...drafted]);
    const {logits, cache, setWeights} = verifier.forward({
      tokens: block,
      position,
      cache: verifierCache,
      outputs: fading ? ['logits', 'setWeights'] : ['logits'],
      selection: selected && {
        ...selected,
        sets: selection.plan.sets,
        setsPerLayer: selection.plan.setsPerLayer,
      },
    });
    mark('verify');

    // Accept the longest prefix that the verifier would have written as likely, and one token of its own.
    const {probabilities: verifierProbabilities} = sample(
      logits!,
      seed,
      position,
      sampling,
      RandomStream.plain,
    );
    const next = speculativeAccept(
      block,
      tf.concat2d(draftProbabilities, 0),
      verifierProbabilities,
      seed,
      position,
    );
    const report = selected
      ? tf.concat1d([next.tokens, selected.counts, tf.reshape(selected.kept, [-1])])
      : next.tokens;
    const nextOwn = fading
      ? [lookBack(own, setWeights!, fading, tf.sub(next.position, position))]
      : own
        ? [own]
        : [];
    mark('accept');
    return {state: [next.last, next.position, seed, ...cache, ...draftCache, ...nextOwn], outputs: [report]};
  };
}

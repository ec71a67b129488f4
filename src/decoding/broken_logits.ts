/** The error of an answer that cannot go on because logits are not finite: it names the first layer whose output is not. */
import * as tf from '@tensorflow/tfjs-core';

import type {Llama} from '../../models/llama/llama.js';
import {tokensForDraft, type Models, type PairCaches} from '../../models/pair.js';
import type {LoopState, NamedTensors} from './state.js';
import {yieldToEventLoop} from './yield_to_event_loop.js';

/** Rows of a pass: few enough that on CUDA they are computed as in decoding. */
const ROWS = 32;

/**
 * Reads the tokens again, all keys visible, and looks at the output of every layer. This takes as long as a prompt of
 * these tokens and overwrites the caches.
 * @param tokens of the sequence, up to the ones whose logits are not finite
 */
export async function brokenLogits<S extends PairCaches & NamedTensors>(
  state: LoopState<S>,
  {verifier, draft}: Models,
  tokens: readonly number[],
): Promise<Error> {
  const place = await firstBroken(state, 'verifierCache', verifier, tokens);
  if (place) return errorOf('verifier', place);
  const ofDraft = draft && (await firstBroken(state, 'draftCache', draft, tokensForDraft(draft, tokens)));
  return ofDraft
    ? errorOf('draft', ofDraft)
    : errorOf(
        'verifier',
        'the tokens so far give finite ones with every key visible, so that a drafted token brought them',
      );
}

function errorOf(role: 'verifier' | 'draft', place: string): Error {
  const remedy = role === 'draft' ? '; draft: false decodes without it' : '';
  return new Error(
    `[generate] the ${role}'s logits must be finite but are not: ${place} (its weights are broken, or its numbers too large for their dtype${remedy})`,
  );
}

/** Where a model's numbers first are not finite, in words; undefined where they are finite everywhere. */
async function firstBroken<S extends PairCaches & NamedTensors>(
  state: LoopState<S>,
  name: 'verifierCache' | 'draftCache',
  model: Llama,
  tokens: readonly number[],
): Promise<string | undefined> {
  const end = Math.min(tokens.length, state.tensors[name][0].shape[1]);
  for (let from = 0; from < end; from += ROWS) {
    await yieldToEventLoop();
    let place: string | undefined;
    state.advance((tensors) => {
      const ids = tokens.slice(from, Math.min(from + ROWS, end));
      const {layerOutputs, logits, cache} = model.forward({
        tokens: tf.tensor1d(ids, 'int32'),
        position: tf.tensor1d([from], 'int32'),
        cache: tensors[name],
        outputs: ['layerOutputs', 'logits'],
      });
      const [layer, row] = firstBrokenRow([...layerOutputs!, logits!]);
      if (row >= 0) place = `${nameOf(layer, layerOutputs!.length)}, at token ${from + row} of the sequence`;
      return {...tensors, [name]: cache};
    });
    if (place !== undefined) return place;
  }
  return undefined;
}

/** The first tensor [T,n] with a number that is not finite, and the first such row; -1 and -1 where there is none. */
function firstBrokenRow(tensors: readonly tf.Tensor2D[]): [tensor: number, row: number] {
  for (const [i, tensor] of tensors.entries()) {
    const at = tensor.dataSync().findIndex((value) => !Number.isFinite(value));
    if (at >= 0) return [i, Math.floor(at / tensor.shape[1])];
  }
  return [-1, -1];
}

/** @param outputs how many outputs come before the logits: the embedding's and each layer's */
function nameOf(output: number, outputs: number): string {
  if (output === 0) return 'the first output that is not is that of the embedding';
  const what = output < outputs ? `layer ${output - 1}` : 'the head, or of the norm before it';
  return `the first output that is not is that of ${what}`;
}

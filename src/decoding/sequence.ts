/** A sequence that is being decoded. Its state on the device includes the caches of both models. */
import * as tf from '@tensorflow/tfjs-core';

import {settle} from '../../backend/current.js';
import type {Llama} from '../../models/llama/llama.js';
import {newCaches, type Pair, type PairCaches} from '../../models/pair.js';
import type {ResolvedOptions} from '../options.js';
import {thresholds, type SelectionPlan} from '../selection/plan.js';
import {chunks, prefill} from './prefill.js';
import {LoopState, type SequenceState} from './state.js';

export class Sequence {
  readonly state: LoopState<SequenceState>;

  /** @throws Error where there is no memory for the caches of both models; then nothing stays allocated */
  constructor(private readonly pair: Pair) {
    const made: tf.Tensor[] = [];
    const keep = <T extends tf.Tensor>(tensor: T): T => {
      made.push(tensor);
      return tensor;
    };
    try {
      const state = {
        last: keep(tf.tensor1d([0, 0], 'int32')),
        position: keep(tf.tensor1d([0], 'int32')),
        seed: keep(tf.tensor1d([0, 0], 'int32')),
        settings: keep(tf.tensor1d([0, 0, 1, 0], 'float32')),
      };
      this.state = new LoopState({...state, ...cachesOf(pair)});
    } catch (error) {
      tf.dispose(made);
      throw error;
    }
  }

  /** Whether the state has the tensors that `plan` needs, and no others. Without a plan it may have any. */
  fits(plan: SelectionPlan | undefined): boolean {
    if (!plan) return true;
    const {p, attentionHistory} = this.state.tensors;
    const sets = plan.mix.length;
    const hasHistory = attentionHistory !== undefined;
    return p?.shape[0] === sets && hasHistory === (plan.historyRows !== undefined);
  }

  /** Makes the tensors that `plan` needs. Captures of the state before must be forgotten first. */
  fit(plan: SelectionPlan): void {
    const sets = plan.mix.length;
    this.state.put('p', tf.zeros<tf.Rank.R1>([sets]));
    this.state.put(
      'attentionHistory',
      plan.historyRows === undefined ? undefined : tf.zeros<tf.Rank.R2>([sets, this.pair.contextLength]),
    );
  }

  /**
   * Begins an answer: takes the prompt up to its last token, whose turn comes with the first round, and sets the state to it.
   * @param plan of the answer, which the state fits
   * @param withDraft whether the draft reads the prompt too
   * @param pause is awaited before each chunk of rows; it throws to stop
   */
  async begin(
    prompt: readonly number[],
    options: Pick<ResolvedOptions, 'seed' | 'temperature' | 'topK' | 'topP' | 'minP' | 'p'>,
    plan: SelectionPlan | undefined,
    withDraft: boolean,
    pause: () => Promise<void>,
  ): Promise<void> {
    const last = prompt.length - 1;
    for (const [start, end] of chunks(0, last, this.pair)) {
      await pause();
      prefill(this.state, this.pair, prompt.slice(start, end), start, withDraft);
    }
    const {seed, temperature, topK, topP, minP, p} = options;
    this.state.set('last', prompt.length > 1 ? prompt.slice(-2) : [prompt[0], prompt[0]]);
    this.state.set('position', [last]);
    this.state.set('seed', [seed | 0, Math.floor(seed / 2 ** 32) | 0]);
    this.state.set('settings', [temperature, topK, topP, minP]);
    if (plan) this.state.set('p', thresholds(plan, p));
    const {attentionHistory} = this.state.tensors;
    if (attentionHistory)
      this.state.advance((state) => ({...state, attentionHistory: tf.zerosLike(attentionHistory)}));
    settle();
  }

  /** Computes the verifier's keys and values of `tokens`, which stand at `from` and after, anew with dense attention. */
  refresh(tokens: readonly number[], from: number): void {
    for (const [start, end] of chunks(0, tokens.length, this.pair))
      prefill(this.state, this.pair, tokens.slice(start, end), from + start, false);
    settle();
  }

  dispose(): void {
    this.state.dispose();
  }
}

/**
 * The caches of both models.
 * @throws Error naming `contextLength` and the bytes that its caches take, where there is no memory for them
 */
function cachesOf(pair: Pair): PairCaches {
  const {contextLength, verifier, draft} = pair;
  try {
    return newCaches(pair, contextLength);
  } catch (error) {
    const bytes = contextLength * [verifier, draft].reduce((sum, model) => sum + bytesOfPosition(model), 0);
    throw new Error(
      `[generate] contextLength must be one whose caches fit in memory but is ${contextLength}, which takes ${bytes} bytes: ` +
        `load the models with a smaller contextLength, which the prompt and maxNewTokens fit in (${(error as Error).message})`,
      {cause: error},
    );
  }
}

/** Bytes that one position takes in all caches of a model. */
function bytesOfPosition(model: Llama | undefined): number {
  if (!model) return 0;
  const {numHiddenLayers, numKeyValueHeads, headDim} = model.config;
  return 2 * numHiddenLayers * numKeyValueHeads * headDim * model.cacheBytesPerElement;
}

/**
 * Teacher-forced decoding: a known text is decoded block by block as in speculative decoding, but the drafted tokens
 * are the text's own and all of them count as accepted.
 */
import * as tf from '@tensorflow/tfjs-core';

import type {LlamaResult} from '../../models/llama/llama.js';
import {draftableTokens, newCaches, tokensForDraft, type Models, type PairCaches} from '../../models/pair.js';
import type {KeyReads} from '../selection/key_reads.js';
import {settle} from '../../backend/current.js';
import {chunks, prefill} from '../decoding/prefill.js';
import {LoopState} from '../decoding/state.js';
import type {Block, Policy} from './policy.js';

/** The logits of both models for one block. */
export interface BlockLogits {
  /** Position of the first row. */
  position: number;
  rows: number;
  /** [rows,V]: each row predicts the token after it. */
  verifier: Float32Array;
  /** The same for the first token ids, those that the draft may propose: [rows,W]; undefined without a draft. */
  draft?: Float32Array;
}

export interface DecodeOptions {
  /** Chooses the keys that the verifier sees; undefined: it sees every key. */
  policy?: Policy;
  /** Tokens that a draft would propose for a block: a block has gamma + 1 rows. */
  gamma: number;
  /**
   * Blocks between two dense passes, which recompute the verifier's keys and values since the last one. 0: no dense
   * passes.
   */
  refreshEvery: number;
  /** Counts the keys and bytes that the verifier reads. */
  reads: KeyReads;
}

/** Decodes texts of up to `capacity` tokens, one after another, in one set of caches. */
export class TeacherForced {
  private readonly state: LoopState<PairCaches>;
  /** The prompt that the caches hold: the first `prompt` of these tokens. */
  private prompted: {tokens: readonly number[]; prompt: number} | undefined;

  constructor(
    private readonly models: Models,
    private readonly capacity: number,
  ) {
    this.state = new LoopState(newCaches(models, capacity));
  }

  /**
   * Reads the first `prompt` tokens but the last one densely, then decodes every row that has a token after it, block
   * by block. The prompt is not read again where the call before had the same array and the same prompt, since decoding
   * leaves the prompt's rows as they are.
   */
  *decode(
    tokens: readonly number[],
    prompt: number,
    {policy, gamma, refreshEvery, reads}: DecodeOptions,
  ): Generator<BlockLogits, void, void> {
    const first = prompt - 1;
    if (this.prompted?.tokens !== tokens || this.prompted.prompt !== prompt)
      this.dense(tokens, 0, first, true);
    this.prompted = {tokens, prompt};
    let refreshed = first;
    let blocks = 0;
    for (let position = first; position < tokens.length - 1; position += gamma + 1) {
      const rows = Math.min(gamma + 1, tokens.length - 1 - position);
      yield this.block(tokens, {position, rows, capacity: this.capacity}, policy, reads);
      if (refreshEvery > 0 && ++blocks % refreshEvery === 0) {
        this.dense(tokens, refreshed, position + rows, false);
        reads.refresh(position + rows);
        refreshed = position + rows;
      }
    }
  }

  /** Computes keys and values of the rows `from` to `to` - 1 with every key visible. */
  private dense(tokens: readonly number[], from: number, to: number, withDraft: boolean): void {
    for (const [start, end] of chunks(from, to, this.models))
      prefill(this.state, this.models, tokens.slice(start, end), start, withDraft);
    settle();
  }

  private block(
    tokens: readonly number[],
    at: Block,
    policy: Policy | undefined,
    reads: KeyReads,
  ): BlockLogits {
    const {position, rows} = at;
    const {verifier, draft} = this.models;
    let logits: BlockLogits;
    this.state.advance(({verifierCache, draftCache}) => {
      const block = tokens.slice(position, position + rows);
      const attention = policy?.attention;
      const drafted = draft?.forward({
        ...inputs(tokensForDraft(draft, block), position),
        cache: draftCache,
        outputs: attention ? ['logits', 'attentionRows'] : ['logits'],
        attention,
      });
      const chosen = policy?.select({...at, draftAttention: drafted?.attentionRows});
      const {sets, setsPerLayer} = policy?.plan ?? {sets: [], setsPerLayer: 1};
      const verified = verifier.forward({
        ...inputs(block, position),
        cache: verifierCache,
        outputs: policy?.remember ? ['logits', 'setWeights'] : ['logits'],
        ...(chosen && 'listed' in chosen && {selection: {...chosen.listed, sets, setsPerLayer}}),
        ...(chosen && 'selector' in chosen && {select: {...chosen, sets, setsPerLayer}}),
      });
      policy?.remember?.(verified.setWeights!);
      logits = {
        position,
        rows,
        verifier: verified.logits!.dataSync() as Float32Array,
        draft: drafted && this.ofDraftable(drafted.logits!).dataSync<'float32'>(),
      };
      if (policy) {
        const listed = chosen && 'listed' in chosen ? [chosen.listed] : verified.selected!;
        count(reads, at, policy, listed);
      } else {
        reads.dense(position, rows, rows);
      }
      return {verifierCache: verified.cache, draftCache: drafted?.cache ?? draftCache};
    });
    return logits!;
  }

  /** The columns of logits [rows,V] that the draft may propose. */
  private ofDraftable(logits: tf.Tensor2D): tf.Tensor2D {
    const width = draftableTokens(this.models);
    return width < logits.shape[1] ? tf.slice2d(logits, [0, 0], [logits.shape[0], width]) : logits;
  }

  dispose(): void {
    this.state.dispose();
  }
}

function inputs(tokens: readonly number[], position: number) {
  return {tokens: tf.tensor1d(tokens as number[], 'int32'), position: tf.tensor1d([position], 'int32')};
}

function count(
  reads: KeyReads,
  block: Block,
  {plan, metadata}: Policy,
  listed: NonNullable<LlamaResult['selected']>,
): void {
  const {position, rows} = block;
  const all = (tensors: tf.Tensor[]) =>
    Int32Array.from(tensors.flatMap((tensor) => [...(tensor.dataSync() as Int32Array)]));
  const [counts, kept] = [all(listed.map(({counts}) => counts)), all(listed.map(({kept}) => kept))];
  reads.sparse(position, rows, rows, plan, counts, kept);
  if (metadata) {
    const {ofRows, ofBlock} = metadata(block);
    reads.metadata(ofRows, ofBlock, plan);
  }
}

/** Decoding a known text in blocks, as rounds whose drafts are the text itself and are all accepted. */
import * as tf from '@tensorflow/tfjs-core';

import {newCaches, type Llama, type LlamaResult} from '../../models/llama/llama.js';
import type {KeyReads} from '../selection/key_reads.js';
import {nativeBackend} from '../../backend/current.js';
import {LoopState} from '../decoding/record.js';
import {prefillRows} from '../decoding/session.js';
import type {Block, Policy} from './policy.js';

/** What both models said of a block. */
export interface BlockLogits {
  position: number;
  rows: number;
  /** [rows,V]: of the token after each row. */
  verifier: Float32Array;
  draft?: Float32Array;
}

export interface DecodeOptions {
  /** How keys are chosen; undefined: the verifier sees them all. */
  policy?: Policy;
  /** Rows of a block but one. */
  gamma: number;
  /** Blocks between dense passes that renew keys and values; 0: none. */
  refreshEvery: number;
  /** Counts what is read. */
  reads: KeyReads;
}

/** Caches of a pair for windows of `capacity` tokens, used again and again. */
export class TeacherForced {
  private readonly state: LoopState;
  /** Whose prompt the caches hold. */
  private prompted: {tokens: readonly number[]; prompt: number} | undefined;

  constructor(
    private readonly verifier: Llama,
    private readonly draft: Llama | undefined,
    private readonly capacity: number,
  ) {
    this.state = new LoopState(newCaches({verifier, draft}, capacity));
  }

  /**
   * Takes the first `prompt` tokens but the last one densely, as a prompt is, then every row that has a token after it, block by block. The
   * prompt's rows stay as they are: where the same array's prompt was the last one it is not read again.
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

  /** Keys and values of the rows from `from` up to `to`, every key seen. */
  private dense(tokens: readonly number[], from: number, to: number, withDraft: boolean): void {
    const step = prefillRows();
    for (; from < to; from += step) {
      const chunk = tokens.slice(from, Math.min(from + step, to));
      this.state.advance((caches) => {
        const [ofVerifier, ofDraft] = this.split(caches);
        const input = {...inputs(chunk, from), outputs: []};
        const next = this.verifier.forward({...input, cache: ofVerifier}).cache;
        const draft = withDraft && this.draft?.forward({...input, cache: ofDraft}).cache;
        return [...next, ...(draft || ofDraft)];
      });
    }
    nativeBackend()?.synchronize();
  }

  private block(
    tokens: readonly number[],
    block: Block,
    policy: Policy | undefined,
    reads: KeyReads,
  ): BlockLogits {
    const {position, rows} = block;
    let logits: BlockLogits;
    this.state.advance((caches) => {
      const [ofVerifier, ofDraft] = this.split(caches);
      const input = inputs(tokens.slice(position, position + rows), position);
      const attention = policy?.attention;
      const drafted = this.draft?.forward({
        ...input,
        cache: ofDraft,
        outputs: attention ? ['logits', 'attentionRows'] : ['logits'],
        attention,
      });
      const chosen = policy?.select({...block, draftAttention: drafted?.attentionRows});
      const {sets, setsPerLayer} = policy?.plan ?? {sets: [], setsPerLayer: 1};
      const verified = this.verifier.forward({
        ...input,
        cache: ofVerifier,
        outputs: policy?.remember ? ['logits', 'setWeights'] : ['logits'],
        ...(chosen && 'listed' in chosen && {selection: {...chosen.listed, sets, setsPerLayer}}),
        ...(chosen && 'selector' in chosen && {select: {...chosen, sets, setsPerLayer}}),
      });
      policy?.remember?.(verified.setWeights!);
      logits = {
        position,
        rows,
        verifier: verified.logits!.dataSync() as Float32Array,
        draft: drafted?.logits!.dataSync() as Float32Array | undefined,
      };
      if (policy) {
        const listed = chosen && 'listed' in chosen ? [chosen.listed] : verified.selected!;
        count(reads, block, policy, listed);
      } else {
        reads.dense(position, rows, rows);
      }
      return [...verified.cache, ...(drafted?.cache ?? ofDraft)];
    });
    return logits!;
  }

  private split(caches: tf.Tensor[]): [tf.Tensor3D[], tf.Tensor3D[]] {
    const ofVerifier = 2 * this.verifier.config.numHiddenLayers;
    return [caches.slice(0, ofVerifier) as tf.Tensor3D[], caches.slice(ofVerifier) as tf.Tensor3D[]];
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

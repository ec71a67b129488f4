/** One sequence being decoded: its caches, its state on the device, and the recorded rounds that carry it on. */
import * as tf from '@tensorflow/tfjs-core';

import {newCaches, type Llama} from '../../models/llama/llama.js';
import type {LayerMap} from '../../models/layer_map.js';
import type {ResolvedOptions} from '../options.js';
import {nativeBackend, settle} from '../../backend/current.js';
import {LoopState, record, type Recorded} from './record.js';
import {CACHES, LAST, POSITION, SEED, plainStep, speculativeRound} from './round.js';
import {SelectionTensors, planSelection, type SelectionPlan} from '../selection/selection.js';

/** What a session decodes with. */
export interface Pair {
  verifier: Llama;
  draft?: Llama;
  layerMap?: LayerMap;
  /** Why there is no layer map. */
  layerMapReason?: string;
  /** Positions that the caches hold. */
  contextLength: number;
}

/** Rows of the prompt that go through a model at once: enough to keep its products busy, few enough to bound their memory. */
export function prefillRows(): number {
  return nativeBackend()?.device.name === 'cuda' ? 2048 : 256;
}
/** Recordings kept: one for each gamma of an adaptive draft, and some more for other options. */
const MAX_RECORDINGS = 24;

interface Recording {
  steps: Recorded;
  selection?: SelectionTensors;
}

/**
 * The selection's plan; undefined where verification is dense or every layer stays dense.
 * @throws Error where there is no layer map to plan by
 */
export function sessionPlan(
  {draft, verifier, layerMap, layerMapReason}: Pair,
  options: ResolvedOptions,
): SelectionPlan | undefined {
  if (options.verification === 'dense' || options.denseLayers >= verifier.config.numHiddenLayers)
    return undefined;
  if (!layerMap)
    throw new Error(
      `[generate] verification '${options.verification}' needs a layer map (${layerMapReason}): run 'specattn calibrate' for this pair, or ask for 'dense'`,
    );
  return planSelection(layerMap, draft!.config, verifier.config, options);
}

export class Session {
  private readonly state: LoopState;
  private readonly verifierCaches: number;
  /** Tensors of the state without what sets of keys look back at. */
  private readonly stateSize: number;
  private readonly recordings = new Map<string, Recording>();

  constructor(private readonly pair: Pair) {
    const {verifier, contextLength} = pair;
    const made: tf.Tensor[] = [];
    try {
      // The caches of both models are made here and nowhere else; without memory for all of them there is no session.
      made.push(tf.tensor1d([0, 0], 'int32'), tf.tensor1d([0], 'int32'), tf.tensor1d([0, 0], 'int32'));
      made.push(...newCaches(pair, contextLength));
    } catch (error) {
      tf.dispose(made);
      throw error;
    }
    this.state = new LoopState(made);
    this.verifierCaches = 2 * verifier.config.numHiddenLayers;
    this.stateSize = made.length;
  }

  /**
   * Takes a sequence up to its last token, whose turn comes with the first round. Between chunks of rows
   * `pause` is awaited; it throws to stop.
   */
  async prefill(
    tokens: readonly number[],
    seed: number,
    withDraft: boolean,
    pause: () => Promise<void>,
  ): Promise<void> {
    const last = tokens.length - 1;
    const rows = prefillRows();
    for (let from = 0; from < last; from += rows) {
      await pause();
      this.process(tokens.slice(from, Math.min(from + rows, last)), from, withDraft);
    }
    this.state.set(LAST, tokens.length > 1 ? tokens.slice(-2) : [tokens[0], tokens[0]]);
    this.state.set(POSITION, [last]);
    this.state.set(SEED, [seed | 0, Math.floor(seed / 2 ** 32) | 0]);
    this.state.advance((tensors) => tensors.map((x, i) => (i < this.stateSize ? x : tf.zerosLike(x))));
    settle();
  }

  /** Renews the verifier's keys and values of `tokens`, which stand at `from` and after, with dense attention. */
  refresh(tokens: readonly number[], from: number): void {
    const rows = prefillRows();
    for (let i = 0; i < tokens.length; i += rows) this.process(tokens.slice(i, i + rows), from + i, false);
    settle();
  }

  private process(tokens: readonly number[], position: number, withDraft: boolean): void {
    const {verifier, draft} = this.pair;
    this.state.advance((tensors) => {
      const input = {
        tokens: tf.tensor1d(tokens as number[], 'int32'),
        position: tf.tensor1d([position], 'int32'),
        outputs: [],
      };
      const [verifierCache, draftCache] = this.caches(tensors);
      const next = verifier.forward({...input, cache: verifierCache}).cache;
      const nextDraft = withDraft && draft ? draft.forward({...input, cache: draftCache}).cache : draftCache;
      return [...tensors.slice(0, CACHES), ...next, ...nextDraft, ...tensors.slice(this.stateSize)];
    });
  }

  private caches(tensors: tf.Tensor[]): [tf.Tensor3D[], tf.Tensor3D[]] {
    const split = CACHES + this.verifierCaches;
    return [
      tensors.slice(CACHES, split) as tf.Tensor3D[],
      tensors.slice(split, this.stateSize) as tf.Tensor3D[],
    ];
  }

  /** The step that decodes one token with the verifier alone. */
  plain(options: ResolvedOptions): Recording {
    const key = JSON.stringify(['plain', options.temperature, options.topK, options.topP, options.minP]);
    return this.recorded(key, () => {
      const step = plainStep(this.pair.verifier, options);
      // The rest, the draft's caches first, stays as it is.
      const split = CACHES + this.verifierCaches;
      return {
        steps: record(this.state, (tensors, mark) => {
          const next = step(tensors.slice(0, split), mark);
          return {...next, state: [...next.state, ...tensors.slice(split)]};
        }),
      };
    });
  }

  /** The round that drafts `gamma` tokens. */
  speculative(gamma: number, options: ResolvedOptions): Recording {
    const {verification, p, sinks, recent, denseLayers, union, granularity, temperature, topK, topP, minP} =
      options;
    const sparse = verification !== 'dense';
    const key = JSON.stringify([
      gamma,
      temperature,
      topK,
      topP,
      minP,
      sparse && [p, sinks, recent, denseLayers, union, granularity],
    ]);
    return this.recorded(key, () => {
      const {draft, verifier} = this.pair;
      const plan = sessionPlan(this.pair, options);
      this.prepare(plan);
      const selection = plan && new SelectionTensors(plan, p, gamma + 1);
      try {
        const steps = record(
          this.state,
          speculativeRound(draft!, verifier, gamma, options, selection, options),
        );
        return {steps, selection};
      } catch (error) {
        selection?.dispose();
        throw error;
      }
    });
  }

  /**
   * Makes room in the state for what the sets of `plan` look back at. Recordings of another state are forgotten, so an answer calls this
   * before its first step: a recorded step that was launched must live until it is read.
   */
  prepare(plan: SelectionPlan | undefined): void {
    if (plan?.ownRows === undefined) return;
    const sets = plan.mix.length;
    const own = this.state.tensors.at(this.stateSize);
    if (own?.shape[0] === sets) return;
    if (own) {
      this.forgetRecordings(); // they refer to it
      this.state.tensors.pop();
      own.dispose();
    }
    this.state.tensors.push(tf.keep(tf.zeros([sets, this.pair.contextLength])));
  }

  private forgetRecordings(): void {
    this.recordings.forEach(disposeRecording);
    this.recordings.clear();
  }

  private recorded(key: string, make: () => Recording): Recording {
    let recording = this.recordings.get(key);
    // The most recently used stand last.
    if (recording) this.recordings.delete(key);
    else recording = make();
    this.recordings.set(key, recording);
    if (this.recordings.size > MAX_RECORDINGS) {
      const [oldest] = this.recordings.keys();
      disposeRecording(this.recordings.get(oldest)!);
      this.recordings.delete(oldest);
    }
    return recording;
  }

  dispose(): void {
    this.forgetRecordings();
    this.state.dispose();
  }
}

function disposeRecording({steps, selection}: Recording): void {
  steps.dispose();
  selection?.dispose();
}

/**
 * Keeps the steps that a pair of models has made ready, so that a step is captured once and then replayed. The captures of a pair share one
 * pool of memory.
 */
import {nativeBackend} from '../../backend/current.js';
import {draftableTokens, type Pair} from '../../models/pair.js';
import type {ResolvedOptions} from '../options.js';
import {planAnswer, type SelectionPlan} from '../selection/plan.js';
import {SelectionTensors} from '../selection/tensors.js';
import {plainStep, speculativeRound} from './round.js';
import type {Sequence} from './sequence.js';
import {makeReady, type ReadyStep} from './steps.js';

/** Most steps that are kept for one sequence: one for each gamma of an adaptive draft, and some for other options. */
const MAX_STEPS = 24;

/** The options that change what a round computes. A round is captured with these alone, and found again by them. */
const ROUND_OPTIONS = ['verification', 'sinks', 'recent', 'denseLayers', 'union', 'granularity'] as const;
type RoundOptions = Pick<ResolvedOptions, (typeof ROUND_OPTIONS)[number]>;

/** A step that is ready, and the plan by which it selects keys. */
export interface RoundStep {
  step: ReadyStep;
  plan?: SelectionPlan;
}

interface Entry extends RoundStep {
  selection?: SelectionTensors;
}

/**
 * Ready steps by sequence and by the options that decide what a step computes. The settings of sampling and p are not among these options,
 * because they are tensors of the sequence's state: one capture serves all their values.
 */
export class Captures {
  private readonly steps = new Map<Sequence, Map<string, Entry>>();
  private pool: number | undefined;

  constructor(private readonly pair: Pair) {}

  /** The step that decodes one token with the verifier alone. */
  plain(sequence: Sequence): RoundStep {
    return this.entry(sequence, 'plain', () => ({
      step: makeReady(sequence.state, plainStep(this.pair.verifier), this.poolOfModel()),
    }));
  }

  /** The round that drafts `gamma` tokens; `sequence` has begun an answer with the same options. */
  speculative(sequence: Sequence, gamma: number, answerOptions: RoundOptions): RoundStep {
    const options = Object.fromEntries(
      ROUND_OPTIONS.map((name) => [name, answerOptions[name]]),
    ) as RoundOptions;
    if (options.verification === 'refresh') options.verification = 'sparse'; // the same rounds
    const key = JSON.stringify([gamma, options.verification === 'dense' ? 'dense' : options]);
    return this.entry(sequence, key, () => {
      const {draft, verifier} = this.pair;
      const plan = planAnswer(this.pair, options);
      const selection = plan && new SelectionTensors(plan, gamma + 1);
      try {
        const draftable = draftableTokens(this.pair);
        const round = speculativeRound(draft!, verifier, gamma, selection, options, draftable);
        return {step: makeReady(sequence.state, round, this.poolOfModel()), plan, selection};
      } catch (error) {
        selection?.dispose();
        throw error;
      }
    });
  }

  /** Disposes of the steps of a sequence: its tensors are about to be others. */
  forget(sequence: Sequence): void {
    this.steps.get(sequence)?.forEach(disposeEntry);
    this.steps.delete(sequence);
  }

  private entry(sequence: Sequence, key: string, make: () => Entry): Entry {
    let entries = this.steps.get(sequence);
    if (!entries) this.steps.set(sequence, (entries = new Map<string, Entry>()));
    // The most recently used stand last.
    const entry = entries.get(key) ?? make();
    entries.delete(key);
    entries.set(key, entry);
    if (entries.size > MAX_STEPS) {
      const [[oldest, step]] = entries;
      disposeEntry(step);
      entries.delete(oldest);
    }
    return entry;
  }

  private poolOfModel(): number | undefined {
    return (this.pool ??= nativeBackend()?.device.newCapturePool());
  }
}

function disposeEntry({step, selection}: Entry): void {
  step.dispose();
  selection?.dispose();
}

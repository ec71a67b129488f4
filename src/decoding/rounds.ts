/** The rounds of one answer: how many tokens each drafts, which of them are launched ahead, and what each reports. */
import {draftCapacity, type Pair} from '../../models/pair.js';
import type {ResolvedOptions} from '../options.js';
import type {SelectionPlan} from '../selection/plan.js';
import {brokenLogits} from './broken_logits.js';
import type {Captures} from './captures.js';
import {AdaptiveGamma, draftedTokenCost} from './gamma.js';
import type {Refresh} from './refresh.js';
import {unpackReport} from './round_report.js';
import type {Sequence} from './sequence.js';
import type {StatsCollector} from './stats.js';
import {runsAhead, type StepRun} from './steps.js';

/** A round that was launched. */
export interface Round {
  /** Tokens that it drafts; 0: a step of plain decoding. */
  gamma: number;
  /** How keys are selected; undefined where verification is dense. */
  plan?: SelectionPlan;
  run: StepRun;
}

/** What rounds are launched with. */
export interface RoundsOf {
  engine: Pair & {captures: Captures};
  sequence: Sequence;
  options: ResolvedOptions;
  promptTokens: number;
  refresh: Refresh;
  stats: StatsCollector;
}

/**
 * Launches rounds one after the other. A device that runs by itself is given the next round before the report of the last one is read,
 * where that round follows whatever the report says: so the device never waits for the host.
 */
export class Rounds {
  private readonly adaptive: AdaptiveGamma | undefined;
  private readonly ahead = runsAhead();
  /** Positions that the draft can read; 0 without one. */
  private readonly draftPositions: number;
  /** The gamma of the next round to launch, the context's end aside. */
  private wanted: number;
  private launched: Round | undefined;

  constructor(private readonly of: RoundsOf) {
    const {engine, options} = of;
    this.draftPositions =
      options.draft && engine.draft ? draftCapacity(engine.draft, engine.contextLength) : 0;
    if (options.gamma === 'adaptive' && engine.draft)
      this.adaptive = new AdaptiveGamma(draftedTokenCost(engine.draft.config, engine.verifier.config));
    this.wanted = this.nextGamma();
  }

  /**
   * The round at `position`, the position of the last token; undefined where the context is full. A round that is launched ahead but not
   * asked for leaves nothing behind: the next prompt sets the state anew.
   */
  next(position: number): Round | undefined {
    if (!this.launched && position >= this.of.engine.contextLength) return undefined;
    const round = this.launched ?? this.launch(this.gammaAt(position));
    // The gamma of a round is chosen before the report of the round before it, also on devices that wait: a seed gives the same text
    // on all of them.
    this.wanted = this.nextGamma();
    const follows = this.ahead && this.isFollowed(round, position);
    this.launched = follows ? this.launch(this.gammaAt(position + 1)) : undefined;
    return round;
  }

  /**
   * Waits for the report of a round, counts it, and returns the new tokens.
   * @param before the tokens of the sequence so far
   * @throws Error where logits are not finite
   */
  async read({gamma, plan, run}: Round, before: readonly number[]): Promise<number[]> {
    const {stats, engine, sequence} = this.of;
    const position = before.length - 1;
    const [report] = (await run.read()) as [Int32Array];
    stats.phase(run.times());
    const {tokens, broken, counts, kept} = unpackReport(report, gamma, plan?.mix.length ?? 0);
    if (broken) throw await brokenLogits(sequence.state, engine, [...before, ...tokens]);
    if (gamma === 0) {
      stats.plain(position);
    } else {
      stats.speculative(position, gamma, tokens.length - 1, plan, counts, kept);
      this.adaptive?.update(gamma, tokens.length - 1);
    }
    return tokens;
  }

  private launch(gamma: number): Round {
    const {engine, sequence, options, stats} = this.of;
    const {step, plan} = stats.recording(() =>
      gamma > 0 ? engine.captures.speculative(sequence, gamma, options) : engine.captures.plain(sequence),
    );
    return {gamma, plan, run: step.run()};
  }

  private nextGamma(): number {
    return this.adaptive?.next() ?? (this.of.options.gamma as number);
  }

  /**
   * Tokens that a round at `position` drafts: fewer at the context's end; none, which is a step of plain decoding, without a draft, past
   * the positions that the draft was made for, or with a single token so far. A block may go past `maxNewTokens`: what is too much is dropped, so that a longer answer begins like a shorter
   * one.
   */
  private gammaAt(position: number): number {
    const {contextLength} = this.of.engine;
    // The draft does not read the last token that it drafts, so that it needs one position less than the verifier.
    const room = Math.min(contextLength - 1, this.draftPositions) - position;
    return position > 0 && room > 0 ? Math.min(this.wanted, room) : 0;
  }

  /** Whether a round of known gamma follows this one whatever it accepts, an end token and a stop text aside. */
  private isFollowed({gamma}: Round, position: number): boolean {
    const {engine, options, promptTokens, refresh} = this.of;
    const latest = position + 1 + gamma;
    return (
      latest < engine.contextLength &&
      this.gammaAt(position + 1) === this.gammaAt(latest) &&
      latest + 1 - promptTokens < options.maxNewTokens &&
      !refresh.follows(gamma)
    );
  }
}

/** Refresh: dense passes that renew the keys and values which sparse rounds left behind, every `refreshEvery` rounds. */
import type {ResolvedOptions} from '../options.js';
import type {SelectionPlan} from '../selection/plan.js';
import type {Sequence} from './sequence.js';
import type {StatsCollector} from './stats.js';

export class Refresh {
  private rounds = 0;
  /** The verifier's rows before this position were computed densely. */
  private from: number;
  private readonly every: number;

  /** @param plan without one no layer reads sparsely, and no row needs a refresh */
  constructor(
    {verification, refreshEvery}: Pick<ResolvedOptions, 'verification' | 'refreshEvery'>,
    plan: SelectionPlan | undefined,
    promptTokens: number,
  ) {
    this.every = verification === 'refresh' && plan ? refreshEvery : Infinity;
    this.from = promptTokens - 1;
  }

  /** Whether a refresh follows a round that drafts `gamma` tokens; a step of plain decoding reads densely and counts for nothing. */
  follows(gamma: number): boolean {
    return gamma > 0 && this.rounds + 1 >= this.every;
  }

  /** Counts a round that was read, and renews where {@link follows} said so. */
  after(gamma: number, sequence: Sequence, tokens: readonly number[], stats: StatsCollector): void {
    const due = this.follows(gamma);
    if (gamma > 0) this.rounds++;
    if (!due) return;
    const start = performance.now();
    sequence.refresh(tokens.slice(this.from, -1), this.from);
    stats.refresh(performance.now() - start, this.from, tokens.length - 1);
    this.from = tokens.length - 1;
    this.rounds = 0;
  }
}

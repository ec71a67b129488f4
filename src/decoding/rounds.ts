/** Rounds of a session: launched, and read when the host gets to it. */
import type {ResolvedOptions} from '../options.js';
import type {Launched} from './record.js';
import type {SelectionPlan} from '../selection/selection.js';
import type {Session} from './session.js';
import type {StatsCollector} from './stats.js';

/** A round that was launched. */
export interface Round {
  /** Tokens that it drafts; 0: a step of plain decoding. */
  gamma: number;
  /** How keys are selected; undefined where verification is dense. */
  plan?: SelectionPlan;
  run: Launched;
}

export function launchRound(
  session: Session,
  gamma: number,
  options: ResolvedOptions,
  stats: StatsCollector,
): Round {
  const {steps, selection} = stats.recording(() =>
    gamma > 0 ? session.speculative(gamma, options) : session.plain(options),
  );
  return {gamma, plan: selection?.plan, run: steps.run()};
}

/** Waits for the report of the round at `position`, counts it, and returns the new tokens. */
export async function readRound(
  {gamma, plan, run}: Round,
  position: number,
  stats: StatsCollector,
): Promise<number[]> {
  const [report] = (await run.read()) as [Int32Array];
  stats.phase(run.times());
  if (gamma === 0) {
    stats.plain(position);
    return [report[0]];
  }
  const fresh: number[] = [];
  for (let i = 0; i <= gamma && report[i] >= 0; i++) fresh.push(report[i]);
  const sets = plan?.mix.length ?? 0;
  const counts = report.subarray(gamma + 1, gamma + 1 + sets);
  stats.speculative(position, gamma, fresh.length - 1, plan, counts, report.subarray(gamma + 1 + sets));
  return fresh;
}

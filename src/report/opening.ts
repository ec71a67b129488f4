/** The beginning of a report: one sentence of verdict, and with which pair, where and when its results were made. */
import {grouped, fixed, percent, signedPercent} from './figure.js';
import type {Files, Result, Run} from './read.js';

export interface Opening {
  /** One sentence. */
  verdict: string;
  /** What the results of the folder were made with, as pairs of a name and a text. */
  facts: [string, string][];
}

/** The default of `generate`, whose result is told where there are several. */
const DEFAULT_P = 0.95;

/** @param date the day on which the page is drawn, such as 2026-11-29 */
export function openingOf({runs, bench, gpu}: Files, date: string): Opening {
  const facts: Opening['facts'] = runs.map(({name, about}) => [
    name ? `Results, ${name}` : 'Results',
    about ? [about.pair, about.machine, about.date].join('; ') : 'pair, machine and date were not recorded',
  ]);
  if (bench) facts.push(['Times on a CPU', bench.machine]);
  if (gpu) facts.push(['Times on a GPU', gpu.machine]);
  facts.push(['Page drawn', date]);
  return {
    verdict:
      costOfSparse(runs) ??
      speed(bench?.decode ?? []) ??
      'The folder has no results of evaluate, so what sparse verification costs is not known.',
    facts,
  };
}

/** What is not read, and what that costs. */
function costOfSparse(runs: readonly Run[]): string | undefined {
  for (const {name, results} of runs) {
    const result = told(results);
    if (!result) continue;
    const {method, kvReduction, kvReductionAll, perplexity} = result;
    const reduction = kvReductionAll ?? kvReduction;
    const keys = `${percent(Math.abs(reduction), 0)} ${reduction < 0 ? 'more' : 'fewer'} keys`;
    const dense = results.find(isDense);
    const change = result.change ?? (dense && perplexity / dense.perplexity - 1);
    const cost =
      change === undefined
        ? `a perplexity of ${fixed(perplexity, 2)}`
        : `${signedPercent(change, 1)} perplexity`;
    const where = kvReductionAll === undefined ? ' of the sparse layers' : '';
    return `The verifier with ${method}${name ? ` (${name})` : ''} read ${keys}${where} for ${cost}.`;
  }
  return undefined;
}

const isDense = ({method}: Result) => /^dense(:|$)/.test(method);

/** The result of SpecAttn nearest to the default p, with the fewest other options; else the first of another method. */
function told(results: readonly Result[]): Result | undefined {
  const ours = results.filter(({method}) => /^specattn(:|$)/.test(method));
  const distance = ({method}: Result) =>
    Math.abs(Number(/[:,]p=([\d.]+)/.exec(method)?.[1] ?? DEFAULT_P) - DEFAULT_P);
  const options = ({method}: Result) => method.split(',').length;
  const [best] = [...ours].sort((a, b) => distance(a) - distance(b) || options(a) - options(b));
  return best ?? results.find((result) => !isDense(result));
}

/** How much faster the fastest mode is at the longest context. */
function speed(decoded: NonNullable<Files['bench']>['decode']): string | undefined {
  const longest = Math.max(...decoded.map(({context}) => context));
  const [best] = decoded
    .filter(({context, timesPlain}) => context === longest && timesPlain !== undefined)
    .sort((a, b) => b.timesPlain! - a.timesPlain!);
  if (!best) return undefined;
  return `After ${grouped(longest)} tokens ${best.mode} writes ${fixed(best.timesPlain, 2)} times as many tokens a second as plain decoding.`;
}

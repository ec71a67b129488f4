/** Runs the bundled specs under jasmine, one by one, and counts verdicts. */
import {createRequire} from 'node:module';

import {loadBundle} from './bundle.js';
import {verdictOf, type FailedExpectation, type SpecResult, type TakenCall, type Verdict} from './verdict.js';

/** What is used of jasmine-core, which has no types of its own; those of others clash with mocha's. */
interface Jasmine {
  DEFAULT_TIMEOUT_INTERVAL: number;
  getEnv(): {
    configure(options: object): void;
    addReporter(reporter: object): void;
    execute(): Promise<unknown>;
  };
}

interface SuiteResult {
  fullName?: string;
  failedExpectations?: FailedExpectation[];
}

export interface Options {
  backend: string;
  /** Only specs whose full name contains it. */
  filter?: string;
  /** Called before each spec. */
  before: () => void;
  /** Calls since then that kernels took though they declare that TensorFlow.js refuses them. */
  taken: () => readonly TakenCall[];
}

export interface Outcome {
  counts: Record<Verdict, number>;
  /** What went wrong, in words. */
  failures: string[];
  /** The calls that excused a spec. */
  excused: TakenCall[];
}

export async function runSpecs({backend, filter = '', before, taken}: Options): Promise<Outcome> {
  const load = createRequire(__filename);
  (load('jasmine-core') as {boot(reinitialize: boolean): void}).boot(true); // describe, it, … become globals
  const {jasmine} = globalThis as unknown as {jasmine: Jasmine};
  jasmine.DEFAULT_TIMEOUT_INTERVAL = 20000; // what tfjs-core sets on a jasmine of its own
  const env = jasmine.getEnv();
  const outcome: Outcome = {
    counts: {passed: 0, failed: 0, declared: 0, stale: 0, skipped: 0},
    failures: [],
    excused: [],
  };
  const fail = (title: string, messages: string[]) =>
    outcome.failures.push([title, ...messages].join('\n    '));

  env.configure({
    random: false,
    forbidDuplicateNames: false,
    specFilter: (spec: {getFullName(): string}) => spec.getFullName().includes(filter),
  });
  env.addReporter({
    specStarted: before,
    specDone: (spec: SpecResult) => {
      if (spec.status === 'excluded') return;
      const calls = taken();
      const verdict = verdictOf(spec, calls);
      outcome.counts[verdict]++;
      if (verdict === 'declared') outcome.excused.push(...calls);
      if (verdict === 'failed') fail(spec.fullName, messages(spec));
      if (verdict === 'stale')
        fail(
          spec.fullName,
          calls.map((call) => `passes, though ${call.kernelName} declares that it takes ${call.of}`),
        );
    },
    // What goes wrong around specs.
    suiteDone: (suite: SuiteResult) => surround(suite, suite.fullName ?? 'a suite'),
    jasmineDone: (all: SuiteResult) => surround(all, 'the whole run'),
  });
  const surround = (result: SuiteResult, title: string) => {
    if (!result.failedExpectations?.length) return;
    outcome.counts.failed++;
    fail(title, messages(result));
  };

  loadBundle().declare(backend);
  await env.execute();
  return outcome;
}

function messages({failedExpectations = []}: SuiteResult): string[] {
  return failedExpectations.map(({message}) => message);
}

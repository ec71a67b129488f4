/** Runs the bundled specs with jasmine, one by one, and counts the verdicts. */
import {createRequire} from 'node:module';

import {loadBundle} from './bundle.js';
import {verdictOf, type FailedExpectation, type SpecResult, type TakenCall, type Verdict} from './verdict.js';

/** The part of jasmine-core that is used here. The package has no types, and `@types/jasmine` clashes with mocha's. */
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
  /** runs only specs whose full name contains this text */
  filter?: string;
  /** called before each spec */
  before: () => void;
  /** the calls since `before` that kernels accepted although they declare that TensorFlow.js refuses them */
  taken: () => readonly TakenCall[];
}

export interface Outcome {
  counts: Record<Verdict, number>;
  /** a description of each failure */
  failures: string[];
  /** the calls that excused a spec */
  excused: TakenCall[];
}

export async function runSpecs({backend, filter = '', before, taken}: Options): Promise<Outcome> {
  const load = createRequire(__filename);
  (load('jasmine-core') as {boot(reinitialize: boolean): void}).boot(true); // describe, it, … become globals
  const {jasmine} = globalThis as unknown as {jasmine: Jasmine};
  jasmine.DEFAULT_TIMEOUT_INTERVAL = 20000; // as tfjs-core sets it when it starts jasmine itself
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
    // Failures outside specs, such as those of beforeAll and afterAll.
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

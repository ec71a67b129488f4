/** A fuzz target is one place where untrusted input enters. `fuzz` runs made-up inputs on a target and checks its refusals. */
import * as fs from 'node:fs';
import {inspect} from 'node:util';
import * as tf from '@tensorflow/tfjs-core';
import * as fc from 'fast-check';

import type {SpecAttnMemoryInfo} from '../../backend/index.js';

export interface Target<T> {
  readonly name: string;
  /** share of the cases, relative to those of other targets */
  readonly share: number;
  readonly input: fc.Arbitrary<T>;
  /** Processes one input. An error that it throws is a refusal. No memory or files may be left. */
  run(input: T): unknown;
  /** Whether a refusal names what it refuses: the file and the field, or the op or option. */
  names(message: string, input: T): boolean;
  setUp?(): void | Promise<void>;
  tearDown?(): void;
}

export interface Outcome {
  passed: number;
  refused: number;
  /** the error and the smallest input that causes it; undefined if no case failed */
  failure?: string;
  /** time of the slowest case */
  milliseconds: number;
}

/** A case that takes longer fails. */
const MOST_MILLISECONDS = 1000;
/** The growth of a process, in bytes, that is not counted as a leak, since pools and caches fill up. */
const MOST_GROWTH = 256 * 2 ** 20;
const BATCH = 500;

/** What must be the same before and after a batch of cases. */
function held(): Record<string, number> {
  const {numTensors, numDataBuffers, numBytesInDevice = 0} = tf.memory() as SpecAttnMemoryInfo;
  const files = process.platform === 'linux' ? fs.readdirSync('/proc/self/fd').length : 0;
  return {numTensors, numDataBuffers, numBytesInDevice, files};
}

/**
 * Runs `cases` inputs, which depend only on `seed`, and shrinks the first that fails.
 * @param onCase called with the number of each case before it runs
 */
export async function fuzz<T>(
  target: Target<T>,
  {cases, seed, onCase}: {cases: number; seed: number; onCase?: (number: number) => void},
): Promise<Outcome> {
  const outcome: Outcome = {passed: 0, refused: 0, milliseconds: 0};
  let number = 0;
  let failed = false;
  let rss: number | undefined;
  const before = held();
  await target.setUp?.();
  const property = fc.asyncProperty(target.input, async (input) => {
    if (!failed) onCase?.(number++); // shrinking repeats cases
    try {
      const refused = await runCase(target, input, outcome);
      if (failed) return;
      if (number % BATCH === 0 || number === cases) {
        target.tearDown?.();
        checkHeld(before, held());
        await target.setUp?.();
      }
      if (number > cases / 4) rss ??= process.memoryUsage().rss;
      outcome.passed++;
      if (refused) outcome.refused++;
    } catch (error) {
      failed = true;
      throw error;
    }
  });
  const result = await fc.check(property, {numRuns: cases, seed});
  target.tearDown?.();
  if (result.failed) outcome.failure = describeFailure(result);
  const growth = process.memoryUsage().rss - (rss ?? Infinity);
  if (growth > MOST_GROWTH)
    outcome.failure ??= `the process has grown by ${Math.round(growth / 2 ** 20)} MiB over its cases`;
  return outcome;
}

/** An input as text; the bytes of files are shown as text too. */
export function describe(input: unknown): string {
  return inspect(input, {depth: 8, breakLength: 120, maxStringLength: 2000, compact: true});
}

/** The error, and the smallest input that causes it. */
function describeFailure({
  counterexample,
  errorInstance: error,
}: {
  counterexample: [unknown] | null;
  errorInstance: unknown;
}): string {
  return `${error instanceof Error ? error.message : String(error)}\ninput: ${describe(counterexample?.[0])}`;
}

/** Whether the input was refused. */
async function runCase<T>(target: Target<T>, input: T, outcome: Outcome): Promise<boolean> {
  const start = performance.now();
  const cpu = process.cpuUsage();
  let refusal: unknown;
  let refused = false;
  try {
    await target.run(input);
  } catch (error) {
    refused = true;
    refusal = error;
  }
  // The smaller of wall time and CPU time counts, so that a busy machine causes no failure.
  const {user, system} = process.cpuUsage(cpu);
  const milliseconds = Math.min(performance.now() - start, (user + system) / 1000);
  outcome.milliseconds = Math.max(outcome.milliseconds, milliseconds);
  if (milliseconds > MOST_MILLISECONDS) throw new Error(`the case took ${Math.round(milliseconds)} ms`);
  if (!refused) return false;
  if (!(refusal instanceof Error) || refusal.constructor !== Error)
    throw new Error(
      `refused by no plain Error: ${refusal instanceof Error ? refusal.stack : String(refusal)}`,
    );
  if (!target.names(refusal.message, input))
    throw new Error(`the refusal does not name what it refuses: ${refusal.stack}`);
  return true;
}

function checkHeld(before: Record<string, number>, after: Record<string, number>): void {
  for (const [name, value] of Object.entries(before))
    if (after[name] !== value) throw new Error(`a leak: ${name} was ${value} and is ${after[name]}`);
}

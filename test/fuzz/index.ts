/**
 * Feeds made-up input to everything that takes input: `npm run test:fuzz -- --cases 100000`. Each target runs in a process of its own, so
 * that a crash or a hang can be reported with the number of its case. Ends with `N passed, N failed`.
 */
import {fork} from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import {Command, InvalidArgumentError, Option} from 'commander';
import * as fc from 'fast-check';

import {describe, fuzz, type Outcome} from './target.js';
import {TARGETS, casesOf, missing} from './targets/index.js';

interface Flags {
  cases: number;
  seed: number;
  only?: string;
  show?: number;
  /** given to the process of a target: the file that the number of each case is written to */
  progress?: string;
}

/** Milliseconds after which a case counts as one that never ends. */
const PATIENCE = 60_000;

const whole = (text: string): number => {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('It must be a whole number.');
  return Number(text);
};

const targetNames = (text: string): string => {
  const unknown = text.split(',').find((only) => !TARGETS.some(({name}) => name === only));
  if (unknown === undefined) return text;
  throw new InvalidArgumentError(
    `There is no target ${unknown}; there are ${TARGETS.map(({name}) => name).join(', ')}.`,
  );
};

const command = new Command('test:fuzz')
  .description('Feeds made-up input to parsers, options, prompts and native kernels.')
  .addOption(new Option('--cases <n>', 'cases of all targets together').argParser(whole).default(20_000))
  .addOption(
    new Option('--seed <n>', 'the same seed makes the same cases')
      .argParser(whole)
      .default(Date.now() % 1e9, 'by the clock'),
  )
  .addOption(
    new Option('--only <targets>', 'these targets, separated by commas, with all the cases each').argParser(
      targetNames,
    ),
  )
  .addOption(new Option('--show <n>', 'print the input of case n of --only, and run none').argParser(whole))
  .addOption(new Option('--progress <file>').hideHelp())
  .action((flags: Flags) =>
    flags.progress ? runTarget(flags) : flags.show ? showCase(flags) : runAll(flags),
  );

/** Prints the input of a case, for example one that ended its process. */
function showCase({seed, only, show}: Flags): void {
  const target = TARGETS.find(({name}) => name === only);
  if (!target) throw new Error('--show needs --only');
  console.log(describe(fc.sample(target.input, {seed, numRuns: show!}).at(-1)));
}

/** Runs one target in this process. */
async function runTarget({cases, seed, only, progress}: Flags): Promise<void> {
  const target = TARGETS.find(({name}) => name === only)!;
  const file = fs.openSync(progress!, 'r+');
  const number = Buffer.alloc(8);
  const outcome = await fuzz(target, {
    cases,
    seed,
    onCase: (at) => {
      number.writeDoubleLE(at);
      fs.writeSync(file, number, 0, 8, 0);
    },
  });
  process.send!(outcome, () => process.disconnect());
}

async function runAll({cases, seed, only}: Flags): Promise<void> {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'specattn-fuzz-'));
  let passed = 0;
  let failed = 0;
  console.log(`seed ${seed}`);
  const queue = TARGETS.filter(({name}) => !only || only.split(',').includes(name));
  const next = async (): Promise<void> => {
    const target = queue.shift();
    if (!target) return;
    const reason = missing(target);
    if (reason) {
      console.log(`${target.name.padEnd(22)} skipped: ${reason}`);
      return next();
    }
    const start = performance.now();
    const count = only ? cases : casesOf(target, cases);
    const outcome = await inOwnProcess(target.name, count, seed, path.join(folder, target.name));
    const seconds = ((performance.now() - start) / 1000).toFixed(1);
    passed += outcome.passed;
    console.log(
      `${target.name.padEnd(22)} ${String(outcome.passed).padStart(6)} cases, ${outcome.refused} of them refused, the slowest ${outcome.milliseconds.toFixed(0)} ms; ${seconds} s`,
    );
    if (outcome.failure !== undefined) {
      failed++;
      console.log(outcome.failure);
      console.log(`again: npm run test:fuzz -- --only '${target.name}' --seed ${seed} --cases ${count}`);
    }
    return next();
  };
  await Promise.all(Array.from({length: os.availableParallelism()}, next));
  fs.rmSync(folder, {recursive: true});
  console.log(`${passed} passed, ${failed} failed`);
  if (failed > 0) process.exitCode = 1;
}

function inOwnProcess(only: string, cases: number, seed: number, progress: string): Promise<Outcome> {
  fs.writeFileSync(progress, new Uint8Array(8));
  const at = () => fs.readFileSync(progress).readDoubleLE();
  const child = fork(__filename, [
    '--only',
    only,
    '--cases',
    `${cases}`,
    '--seed',
    `${seed}`,
    '--progress',
    progress,
  ]);
  return new Promise((resolve) => {
    let outcome: Outcome | undefined;
    let last = {number: -1, time: performance.now()};
    let hangs = false;
    const watch = setInterval(() => {
      const number = at();
      if (number !== last.number) last = {number, time: performance.now()};
      hangs = performance.now() - last.time > PATIENCE;
      if (hangs) child.kill('SIGKILL');
    }, 500);
    child.on('message', (message) => (outcome = message as Outcome));
    child.on('exit', (code, signal) => {
      clearInterval(watch);
      const how = hangs ? 'never ended' : `ended the process (${signal ?? `exit code ${code}`})`;
      const failure = `case ${at() + 1} of ${cases} ${how}; --show ${at() + 1} prints its input`;
      resolve(outcome ?? {passed: at(), refused: 0, milliseconds: 0, failure});
    });
  });
}

void command.parseAsync();

/**
 * Endurance tests: thousands of rounds, overlapping answers, threads, exits in the middle of an answer, and the tests of kernels over
 * guarded buffers. `npm run test:soak -- --help` lists the options. docs/trust.md lists what is promised.
 */
import * as tf from '@tensorflow/tfjs-core';
import {Command} from 'commander';

import {say} from '../../src/cli/terminal.js';
import {wholeNumber} from '../../src/cli/values.js';
import '../../src/index.js';
import {Chance, Checks} from './checks.js';
import {soakKernels} from './kernels.js';
import {soakProcesses} from './processes.js';
import {soakRounds} from './rounds.js';
import {soakTogether} from './together.js';

interface Flags {
  rounds: number;
  seed: number;
  backend: string;
  only?: string;
}

async function soak({rounds, seed, backend, only}: Flags): Promise<void> {
  if (!global.gc)
    throw new Error('[soak] node must run with --expose-gc: resident memory is told without garbage');
  const checks = new Checks();
  const chance = new Chance(seed);
  say(`seed ${seed}`);
  await tf.setBackend(backend);
  const parts: Record<string, () => Promise<void>> = {
    together: () => soakTogether(checks, backend),
    processes: () => soakProcesses(checks),
    rounds: () => soakRounds(checks, rounds, chance, backend),
    kernels: () => soakKernels(checks),
  };
  for (const [name, part] of Object.entries(parts)) {
    if (only !== undefined && only !== name) continue;
    say(name);
    await part();
  }
  console.log(checks.line);
  process.exitCode = checks.failed === 0 && checks.passed > 0 ? 0 : 1;
}

void new Command('test:soak')
  .description('Tests that take minutes: whether a process stays level, and how it ends.')
  .option('--rounds <n>', 'rounds of speculative decoding', wholeNumber, 10_000)
  .option(
    '--seed <n>',
    'what the random options, aborts and disposals follow from',
    wholeNumber,
    Date.now() % 1e9,
  )
  .option('--backend <name>', 'TensorFlow.js backend of the rounds and the answers at once', 'specattn')
  .option('--only <part>', 'together, processes, rounds or kernels')
  .action(soak)
  .parseAsync();

/**
 * `npm run bench [-- --tokens N --runs N --contexts N,... --json]` times kernels, the overhead of calling an op, and
 * decoding with the embedded pair, after it has compared results with references (refcheck). Tables go to standard
 * error, one JSON object to standard output.
 */
import {readFileSync} from 'node:fs';
import * as path from 'node:path';
import {Command} from 'commander';

import {load, type LanguageModel} from '../src/index.js';
import {packageRoot} from '../backend/addon.js';
import {nativeBackend} from '../backend/current.js';
import {benchDecode, refcheckDecode} from './decode.js';
import {benchDispatch} from './dispatch.js';
import {benchKernels} from './kernels.js';
import {machine} from './statistics.js';

interface Options {
  tokens: number;
  runs: number;
  contexts?: number[];
  json?: boolean;
}

const passage = (number: number) =>
  readFileSync(path.join(packageRoot, 'test', 'data', `passage_${number}.txt`), 'utf8');

const PROMPTS = {short: 'The captain looked at the sea and', long: passage(2).slice(0, 6500)};

/**
 * For each number in `contexts`, a prompt of this many tokens from the passages.
 * @param tokens new tokens that the context must still have room for
 * @throws Error if a number is not whole, below 2 or above what the passages and the context allow
 */
function promptsOf(lm: LanguageModel, contexts: number[], tokens: number): Record<string, string> {
  const ids = lm.tokenizer.encode([1, 2, 3].map(passage).join('\n'));
  const most = Math.min(ids.length, lm.contextLength - tokens);
  return Object.fromEntries(
    contexts.map((context) => {
      if (!Number.isInteger(context) || context < 2 || context > most)
        throw new Error(`--contexts must be whole numbers from 2 to ${most} but one is ${context}`);
      return [`${context} tokens`, lm.tokenizer.decode(ids.slice(0, context))];
    }),
  );
}

async function main(): Promise<void> {
  const program = new Command('bench')
    .description('refcheck, then timings of kernels and of decoding with the embedded pair')
    .option('--tokens <n>', 'new tokens of a run', Number, 200)
    .option('--runs <n>', 'runs of each mode', Number, 7)
    .option(
      '--contexts <n,...>',
      'tokens of the prompts to decode after; default: a short one and a long one',
      (text) => text.split(',').map(Number),
    )
    .option('--json', 'print the JSON object alone')
    .parse();
  const {tokens, runs, contexts, json} = program.opts<Options>();
  const show = (title: string, table: unknown) => {
    if (json) return;
    console.error(title);
    console.error(table);
  };

  const lm = await load();
  const prompts = contexts ? promptsOf(lm, contexts, tokens) : PROMPTS;
  const kernels = nativeBackend() ? benchKernels() : [];
  await refcheckDecode(lm, prompts);
  const decode = await benchDecode(lm, prompts, {tokens, runs});
  lm.dispose();
  const dispatch = await benchDispatch();

  show('machine', machine());
  if (!json) {
    // console.table would write to standard output, which is for the JSON object alone.
    const {Console} = await import('node:console');
    const table = new Console(process.stderr);
    table.table(kernels);
    table.table(dispatch);
    table.table(
      decode.map(({share, ...row}) => ({
        ...row,
        ...Object.fromEntries(Object.entries(share).map(([k, v]) => [`${k} %`, Math.round(v * 100)])),
      })),
    );
  }
  console.log(JSON.stringify({machine: machine(), refcheck: 'passed', kernels, dispatch, decode}));
}

main().catch((error: Error) => {
  console.error(`bench: ${error.message}`);
  process.exitCode = 1;
});

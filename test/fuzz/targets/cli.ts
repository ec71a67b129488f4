/** Fuzz target: command lines. They name folders that do not exist, so that no model is loaded. */
import * as fc from 'fast-check';

import {main} from '../../../src/cli/index.js';
import {hostileNumber, hostileText} from '../hostile.js';
import type {Target} from '../target.js';

const value = fc.oneof(
  hostileNumber.map(String),
  hostileText,
  fc.constantFrom(
    'adaptive',
    'sparse',
    'dense',
    '0x10',
    '1e3',
    '1_000',
    '١',
    ' 4 ',
    '--p',
    '-',
    'specattn:p=2',
    'quest:budget=NaN',
  ),
);
const OPTIONS: Record<string, string[]> = {
  generate: [
    ...[
      '--p',
      '--gamma',
      '--refresh-every',
      '--sinks',
      '--recent',
      '--dense-layers',
      '--union',
      '--granularity',
    ],
    ...[
      '--temperature',
      '--top-k',
      '--top-p',
      '--min-p',
      '--seed',
      '--max-new-tokens',
      '--context-length',
      '--dtype',
    ],
    ...['--verification', '--stop', '--backend', '--layer-map', '--file', '--draft', '--unknown'],
  ],
  evaluate: [
    '--method',
    '--window',
    '--prefill',
    '--windows',
    '--dtype',
    '--backend',
    '--texts',
    '--layer-map',
  ],
  calibrate: ['--window', '--rows', '--map', '--text', '--dtype', '--backend', '--out'],
  export: ['--dtype', '--unknown'],
};
const REQUIRED: Record<string, string[]> = {
  generate: ['--verifier', '/no/such/verifier'],
  evaluate: ['--verifier', '/no/such/verifier', '--texts', '/no/such/texts'],
  calibrate: ['--verifier', '/no/such/verifier', '--draft', '/no/such/draft', '--text', '/no/such/text'],
  export: ['/no/such/model', '/no/such/folder/made'],
};

const line = fc
  .constantFrom(...Object.keys(OPTIONS))
  .chain((command) =>
    fc
      .array(fc.tuple(fc.constantFrom(...OPTIONS[command]), value), {maxLength: 3})
      .map((given) => [command, ...given.flat(), ...REQUIRED[command]]),
  );

/** Runs a command line and throws its output as a refusal. Any exit code but 1 and 2, or a stack trace, is a TypeError. */
async function run(args: string[]): Promise<void> {
  const {stdout, stderr, exitCode} = process;
  const streams = [stdout, stderr];
  const writers = streams.map((stream) => Object.getOwnPropertyDescriptor(stream, 'write'));
  let told = '';
  const write = ((text: string | Uint8Array) => {
    told += String(text);
    return true;
  }) as typeof stdout.write;
  for (const stream of streams) stream.write = write;
  let code: typeof exitCode;
  try {
    process.exitCode = 0;
    await main(args);
    code = process.exitCode;
  } finally {
    process.exitCode = exitCode;
    for (const [i, stream] of streams.entries()) {
      if (writers[i]) Object.defineProperty(stream, 'write', writers[i]);
      else delete (stream as {write?: unknown}).write;
      stream.removeAllListeners('error'); // in normal use a command line has a process of its own
    }
  }
  if (/\n\s+at |(Type|Range|Syntax|Reference)Error/.test(told)) throw new TypeError(told);
  if (code !== 1 && code !== 2) throw new TypeError(`exit code ${code}: ${told}`);
  throw new Error(told);
}

export const commandLines: Target<string[]> = {
  name: 'command lines',
  share: 3,
  input: line,
  run,
  // A refusal names the option, in our words or the library's, or the missing file or folder.
  names: (message, args) =>
    /\/no\/such\//.test(message) ||
    args.some(
      (word) => word.startsWith('--') && (message.includes(word) || message.includes(camelCase(word))),
    ) ||
    /^(error|specattn): .*(argument|option|cannot be read|has no \.txt files|method| of (specattn|quest) must be )/m.test(
      message,
    ),
};

function camelCase(option: string): string {
  return option.slice(2).replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase());
}

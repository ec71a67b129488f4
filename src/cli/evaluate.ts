/** The command `specattn evaluate`: compares methods of choosing keys over texts, by perplexity or by finding passkeys. */
import {existsSync, readdirSync, statSync} from 'node:fs';
import * as path from 'node:path';

import {Command, Option} from 'commander';

import type {EvaluationText, LanguageModel, LoadOptions} from '../index.js';
import {parseMethod} from '../evaluate/methods.js';
import {PASSKEYS, type PasskeyKind} from '../evaluate/passkeys.js';
import {EvaluationFolder, PasskeyFolder, aboutRun, pairInWords} from '../evaluate/records.js';
import {passkeyTable, resultTable} from '../evaluate/tables.js';
import {tryFolder} from './outputs.js';
import {dim, printJson, say, withInterrupt, withProgress, type Step} from './terminal.js';
import {readText} from './texts.js';
import {number, UsageError, wholeNumber} from './values.js';

/** The method of SpecAttn and those that it is compared with. */
const DEFAULT_METHODS = [
  'dense',
  'specattn:p=0.95',
  'quest:budget=256',
  'streaming:budget=256',
  'oracle:p=0.95',
  'random:budget=256',
];

/** Options that belong to one task alone. */
const OPTIONS_OF = {
  perplexity: ['window', 'prefill', 'windows'],
  passkey: ['keys', 'lengths', 'trials'],
} as const;

interface Flags extends Pick<LoadOptions, 'verifier' | 'layerMap' | 'dtype' | 'backend'> {
  draft?: string | false;
  task: 'perplexity' | 'passkey';
  texts: string[];
  method: string[];
  window?: number;
  prefill?: number;
  windows?: number;
  keys?: PasskeyKind[];
  lengths?: number[];
  trials?: number;
  out?: string;
  json?: boolean;
}

export function evaluateCommand(): Command {
  return new Command('evaluate')
    .summary('compare methods of choosing keys, by perplexity and by what they read')
    .description(
      'Decodes texts with each method of choosing keys and reports its perplexity, the keys and bytes that it reads, and how often it agrees with dense attention.',
    )
    .requiredOption('--texts <paths...>', 'folders of .txt files, or files')
    .addOption(
      new Option(
        '--task <task>',
        'perplexity; or passkey: whether a passkey that a text tells is found again',
      )
        .choices(Object.keys(OPTIONS_OF))
        .default('perplexity'),
    )
    .option(
      '--method <methods...>',
      'dense, specattn, quest, streaming, oracle, random; with options as in specattn:p=0.95,gamma=4',
      DEFAULT_METHODS,
    )
    .option('--window <n>', 'tokens of a window of text (default: 2048)', wholeNumber)
    .option('--prefill <share>', 'share of a window that is its prompt (default: 0.1)', number)
    .option('--windows <n>', 'windows of each text, evenly spread over it (default: 4)', wholeNumber)
    .addOption(new Option('--keys <kinds...>', 'kinds of passkey (default: both)').choices(PASSKEYS))
    .option(
      '--lengths <n...>',
      'tokens of text, question and answer (default: 512 1024 2048)',
      (text: string, before: number[] = []) => [...before, wholeNumber(text)],
    )
    .option('--trials <n>', 'passkeys at each length and depth (default: 10)', wholeNumber)
    .option('--out <dir>', 'folder for results; a run that was stopped continues from what is in it')
    .option('--draft <dir>', 'Hugging Face folder of the draft (default: the embedded one)')
    .option('--no-draft', 'load the verifier alone: without the method specattn, without acceptance')
    .option('--verifier <dir>', 'Hugging Face folder of the verifier (default: the embedded one)')
    .option('--layer-map <file>', 'the map that specattn uses (default: beside the verifier)')
    .addOption(
      new Option('--dtype <type>', 'storage of weights and caches (default: auto, as in the file)').choices([
        'auto',
        'float32',
        'bfloat16',
        'float16',
      ]),
    )
    .option('--backend <name>', 'TensorFlow.js backend (default: specattn where it is built)')
    .option('--json', 'print results as JSON objects, one a line')
    .action(evaluateTexts);
}

async function evaluateTexts({texts, out, json, task, ...flags}: Flags): Promise<void> {
  checkMethods(flags.method);
  checkOptions(task, flags);
  const read: EvaluationText[] = [];
  for (const source of texts) read.push(...(await readTexts(source)));
  const work = (task === 'passkey' ? passkeyWork : perplexityWork)(read, flags, out);
  const {draft, verifier, layerMap, dtype, backend} = flags;
  const {load} = await import('../index.js');
  const lm = await withProgress((onProgress) =>
    load({draft: draft === false ? null : draft, verifier, layerMap, dtype, backend, onProgress}),
  );
  try {
    const {lines, table, said} = await work(lm);
    if (json) lines.forEach(printJson);
    else process.stdout.write(`${table}\n`);
    say(dim(`${said}${out ? `: ${out} written` : ''}`));
  } catch (error) {
    if (out && (error as Error).name === 'AbortError')
      say(dim(`finished work is in ${out}: the same command continues from there`));
    throw error;
  } finally {
    lm.dispose();
  }
}

type TaskFlags = Omit<Flags, 'texts' | 'out' | 'json' | 'task'>;

/** What a task prints. */
interface Told {
  /** With --json: one object a line. */
  lines: readonly unknown[];
  /** Without --json: a Markdown table. */
  table: string;
  /** A closing message for people. */
  said: string;
}

/** Opens the folder for results, and returns the work, for which the models are needed. */
function perplexityWork(
  texts: EvaluationText[],
  {method: methods, window, prefill, windows, draft, verifier}: TaskFlags,
  out?: string,
): (lm: LanguageModel) => Promise<Told> {
  if (out !== undefined) tryFolder('--out', out, EvaluationFolder.FILES);
  const folder = out === undefined ? undefined : new EvaluationFolder(out);
  return async (lm) => {
    const {evaluate} = await import('../index.js');
    const results = await atWork((work) =>
      evaluate(lm, texts, {
        ...{methods, window, prefill, windows, ...work},
        records: folder?.records,
        onRecord: (record) => folder?.append(record),
      }),
    );
    folder?.finish(results, aboutRun(pairInWords(draft, verifier), lm.device));
    const [{windows: count, tokens}] = results;
    const said = `${count} windows, ${tokens} tokens decoded by each method`;
    return {lines: results, table: resultTable(results), said};
  };
}

/** As {@link perplexityWork}. */
function passkeyWork(
  texts: EvaluationText[],
  {method: methods, keys, lengths, trials, draft, verifier}: TaskFlags,
  out?: string,
): (lm: LanguageModel) => Promise<Told> {
  if (out !== undefined) tryFolder('--out', out, PasskeyFolder.FILES);
  const folder = out === undefined ? undefined : new PasskeyFolder(out);
  return async (lm) => {
    const {evaluatePasskey} = await import('../index.js');
    const records = await atWork((work) =>
      evaluatePasskey(lm, texts, {
        ...{methods, keys, lengths, trials, ...work},
        records: folder?.records,
        onRecord: (record) => folder?.append(record),
      }),
    );
    folder?.finish(records, aboutRun(pairInWords(draft, verifier), lm.device));
    const keysOfEach = records.reduce((sum, {total}) => sum + total, 0) / methods.length;
    return {lines: records, table: passkeyTable(records), said: `${keysOfEach} keys asked of each method`};
  };
}

/** Runs work that takes minutes with a progress bar, and lets Ctrl-C end it. */
function atWork<T>(
  work: (options: {onProgress: (step: Step) => void; signal: AbortSignal}) => Promise<T>,
): Promise<T> {
  return withInterrupt((signal) =>
    withProgress((onProgress) => work({onProgress, signal}), {timeLeft: true}),
  );
}

/** Refuses an option of another task, which would do nothing. */
function checkOptions(task: Flags['task'], flags: TaskFlags): void {
  for (const [other, names] of Object.entries(OPTIONS_OF))
    for (const name of names)
      if (other !== task && flags[name] !== undefined)
        throw new UsageError(`--${name} is an option of --task ${other}, not of ${task}`);
}

/** Refuses a method that cannot be parsed before anything is loaded. */
function checkMethods(methods: string[]): void {
  try {
    methods.forEach(parseMethod);
  } catch (error) {
    throw new UsageError((error as Error).message, {cause: error});
  }
}

/** Reads a file, or all .txt files of a folder. */
async function readTexts(source: string): Promise<EvaluationText[]> {
  const folder = existsSync(source) && statSync(source).isDirectory();
  const names = folder
    ? readdirSync(source)
        .filter((name) => name.endsWith('.txt'))
        .sort()
        .map((name) => path.join(source, name))
    : [source];
  if (names.length === 0) throw new Error(`${source} has no .txt files`);
  const texts: EvaluationText[] = [];
  for (const name of names) texts.push({name: path.basename(name, '.txt'), text: await readText(name)});
  return texts;
}

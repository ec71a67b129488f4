/** `specattn evaluate` */
import {existsSync, readdirSync, statSync} from 'node:fs';
import * as path from 'node:path';

import {Command, Option} from 'commander';

import type {EvaluationText, LoadOptions} from '../index.js';
import {parseMethod} from '../evaluate/methods.js';
import {EvaluationFolder} from '../evaluate/records.js';
import {resultTable} from '../evaluate/result.js';
import {dim, printJson, say, withInterrupt, withProgress} from './terminal.js';
import {number, readText, UsageError, wholeNumber} from './values.js';

/** The paper's method beside those that it is usually compared with. */
const DEFAULT_METHODS = [
  'dense',
  'specattn:p=0.95',
  'quest:budget=256',
  'streaming:budget=256',
  'oracle:p=0.95',
  'random:budget=256',
];

interface Flags extends Pick<LoadOptions, 'verifier' | 'layerMap' | 'dtype' | 'backend'> {
  draft?: string | false;
  texts: string[];
  method: string[];
  window?: number;
  prefill?: number;
  windows?: number;
  out?: string;
  json?: boolean;
}

export function evaluateCommand(): Command {
  return new Command('evaluate')
    .summary('compare what methods of choosing keys read with what they cost in perplexity')
    .description(
      'Decodes texts with each method and tells its perplexity, the keys and bytes that it reads, and how often it agrees with dense attention.',
    )
    .requiredOption('--texts <paths...>', 'folders of .txt files, or files')
    .option(
      '--method <methods...>',
      'dense, specattn, quest, streaming, oracle, random; with options as in specattn:p=0.95,gamma=4',
      DEFAULT_METHODS,
    )
    .option('--window <n>', 'tokens of a window of text (default: 2048)', wholeNumber)
    .option('--prefill <share>', 'share of a window that is its prompt (default: 0.1)', number)
    .option('--windows <n>', 'windows of each text, evenly spread over it (default: 4)', wholeNumber)
    .option('--out <dir>', 'where results go; a run that was ended goes on from what is there')
    .option('--draft <dir>', 'Hugging Face folder of the draft (default: the embedded one)')
    .option('--no-draft', 'the verifier alone: no specattn, no acceptance')
    .option('--verifier <dir>', 'Hugging Face folder of the verifier (default: the embedded one)')
    .option('--layer-map <file>', 'the map that specattn uses (default: beside the verifier)')
    .addOption(
      new Option('--dtype <type>', 'storage of weights and caches').choices([
        'float32',
        'bfloat16',
        'float16',
      ]),
    )
    .option('--backend <name>', 'TensorFlow.js backend (default: specattn where it is built)')
    .option('--json', 'print one JSON object a method and line')
    .action(evaluateTexts);
}

async function evaluateTexts({texts, method: methods, out, json, ...flags}: Flags): Promise<void> {
  checkMethods(methods);
  const read = texts.flatMap(readTexts);
  const {window, prefill, windows, draft, verifier, layerMap, dtype, backend} = flags;
  const folder = out === undefined ? undefined : new EvaluationFolder(out);
  const {evaluate, load} = await import('../index.js');
  const lm = await withProgress((onProgress) =>
    load({draft: draft === false ? null : draft, verifier, layerMap, dtype, backend, onProgress}),
  );
  try {
    const results = await withInterrupt((signal) =>
      withProgress(
        (onProgress) =>
          evaluate(lm, read, {
            ...{methods, window, prefill, windows, onProgress, signal},
            records: folder?.records,
            onRecord: (record) => folder?.append(record),
          }),
        {timeLeft: true},
      ),
    );
    folder?.finish(results);
    if (json) results.forEach(printJson);
    else process.stdout.write(`${resultTable(results)}\n`);
    const [{windows: count, tokens}] = results;
    say(dim(`${count} windows, ${tokens} tokens decoded by each method${out ? `: ${out} written` : ''}`));
  } catch (error) {
    if (folder && (error as Error).name === 'AbortError')
      say(dim(`what is done is in ${out}: the same command goes on from there`));
    throw error;
  } finally {
    lm.dispose();
  }
}

/** A method that is not understood is told before anything is loaded. */
function checkMethods(methods: string[]): void {
  try {
    methods.forEach(parseMethod);
  } catch (error) {
    throw new UsageError((error as Error).message, {cause: error});
  }
}

/** A file, or the .txt files of a folder. */
function readTexts(source: string): EvaluationText[] {
  const folder = existsSync(source) && statSync(source).isDirectory();
  const names = folder
    ? readdirSync(source)
        .filter((name) => name.endsWith('.txt'))
        .sort()
        .map((name) => path.join(source, name))
    : [source];
  if (names.length === 0) throw new Error(`${source} has no .txt files`);
  return names.map((name) => ({name: path.basename(name, '.txt'), text: readText(name)}));
}

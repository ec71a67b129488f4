/** The command `specattn report`: draws a folder of results as one page. */
import {existsSync} from 'node:fs';

import {Command} from 'commander';

import type {LoadOptions, ReportOptions} from '../index.js';
import {tryFolder} from './outputs.js';
import {dim, printJson, say, withInterrupt, withProgress} from './terminal.js';
import {readText} from './texts.js';
import {number} from './values.js';

interface Flags extends Pick<LoadOptions, 'verifier' | 'backend'>, Pick<ReportOptions, 'out' | 'p'> {
  draft?: string;
  layerMap?: string;
  text?: string;
  json?: boolean;
}

export function reportCommand(): Command {
  return new Command('report')
    .summary('draw the results of a folder as one page')
    .description(
      'Draws what other commands left in a folder (results.jsonl and passkey.jsonl of evaluate, bench.json, bench-gpu.json, layer_map.json) and which keys of a passage the verifier reads, as report.html and figures/*.svg.',
    )
    .argument('<dir>', 'the folder')
    .option('--out <dir>', 'where the page and its pictures go (default: the folder)')
    .option('--draft <dir>', 'Hugging Face folder of the draft (default: the embedded one)')
    .option('--verifier <dir>', 'Hugging Face folder of the verifier (default: the embedded one)')
    .option(
      '--layer-map <file>',
      'the map to draw and to choose keys by (default: in the folder, or beside the verifier)',
    )
    .option('--text <file>', 'the passage whose kept keys are drawn (default: a passage of the package)')
    .option(
      '--p <share>',
      "share of the draft's attention that the passage's kept keys hold (default: 0.95)",
      number,
    )
    .option('--backend <name>', 'TensorFlow.js backend (default: specattn where it is built)')
    .option('--json', 'print the names of the files, and what is missing, as one JSON object')
    .action(drawReport);
}

async function drawReport(dir: string, {text, json, ...flags}: Flags): Promise<void> {
  const passage = text === undefined ? undefined : await readText(text);
  // `report` refuses a folder of results that is not there, which a trial would make.
  const out = flags.out ?? dir;
  if (flags.out !== undefined || existsSync(dir)) tryFolder('--out', out, ['report.html', 'figures/.trial']);
  const {report} = await import('../index.js');
  const result = await withInterrupt((signal) =>
    withProgress((onProgress) => report(dir, {...flags, text: passage, onProgress, signal})),
  );
  if (json) printJson(result);
  for (const {figure, reason, command} of json ? [] : result.missing)
    say(`not drawn: ${figure}: ${reason}. This makes it:\n  ${command}`);
  say(dim(`${result.page} and ${result.figures.length} pictures written`));
}

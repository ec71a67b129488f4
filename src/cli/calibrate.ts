/** The command `specattn calibrate`: finds the layer map of a pair and writes it to a file. */
import {writeFileSync} from 'node:fs';
import * as path from 'node:path';

import {Command, Option} from 'commander';

import type {LayerMap} from '../index.js';
import {heatmap} from '../report/heatmap.js';
import {tryFile} from './outputs.js';
import {dim, printJson, say, withInterrupt, withProgress} from './terminal.js';
import {readText} from './texts.js';
import {UsageError, wholeNumber} from './values.js';

/** With fewer rows of attention the map is mostly chance, and the command warns. */
const FEW_ROWS = 1000;

interface Flags {
  draft?: string;
  verifier?: string;
  text: string[];
  map?: LayerMap['kind'];
  own?: boolean;
  slack?: boolean;
  window?: number;
  rows?: number;
  out?: string;
  svg?: string;
  json?: boolean;
}

export function calibrateCommand(): Command {
  return new Command('calibrate')
    .summary('find which attention of the draft selects keys for each verifier layer')
    .description(
      'Runs both models over texts, compares the attention of every pair of layers and writes the layer map that sparse verification uses.',
    )
    .option('--draft <dir>', 'Hugging Face folder of the draft (default: the embedded one)')
    .option('--verifier <dir>', 'Hugging Face folder of the verifier (default: the embedded one)')
    .requiredOption('--text <files...>', 'texts of the kind that will be generated; a few pages are enough')
    .addOption(
      new Option(
        '--map <kind>',
        "kl: one draft layer for each verifier layer, as in the paper; mixture: also a combination of all the draft's heads and the verifier's attention history (default: mixture)",
      ).choices(['kl', 'mixture']),
    )
    .option('--no-own', "leave the verifier's attention history out of a mixture")
    .option('--no-slack', 'leave the layer budget out of a mixture: all layers have the same p')
    .option('--window <n>', 'tokens of a window of text (default: 1024)', wholeNumber)
    .option('--rows <n>', 'most rows of attention to compare in all (default: the whole texts)', wholeNumber)
    .option('--out <file>', 'where to write the map (default: layer_map.json beside the verifier)')
    .option('--svg <file>', 'where to draw the divergences and the map (default: beside the map, with .svg)')
    .option('--json', 'print the map as one JSON object')
    .action(calibrateFiles);
}

async function calibrateFiles({
  text,
  map: kind,
  own,
  slack,
  out,
  svg,
  json,
  window,
  rows,
  ...pair
}: Flags): Promise<void> {
  const texts: string[] = [];
  for (const file of text) texts.push(await readText(file));
  const {calibrate, load, writeLayerMap} = await import('../index.js');
  const {resolveModel} = await import('../load.js');
  const file = out ?? path.join(resolveModel(pair.verifier ?? 'pretrained', 'verifier'), 'layer_map.json');
  const picture = svg ?? file.replace(/(\.json)?$/, '.svg');
  if (path.resolve(file) === path.resolve(picture))
    throw new UsageError(`--out and --svg must be two files but both are ${file}`);
  tryFile('--out', file);
  tryFile('--svg', picture);
  const lm = await withProgress((onProgress) => load({...pair, onProgress}));
  try {
    const {draft, verifier, tokenizer} = lm;
    if (!draft) throw new UsageError('calibrate needs a draft: give --draft');
    const map = await withInterrupt((signal) =>
      withProgress((onProgress) =>
        calibrate({draft, verifier, tokenizer}, texts, {
          map: kind,
          own,
          slack,
          window,
          rows,
          onProgress,
          signal,
        }),
      ),
    );
    writeLayerMap(file, map);
    writeFileSync(picture, await heatmap(map.kl, map.layers));
    if (json) printJson(map);
    const {rows: used} = map.text;
    if (used < FEW_ROWS)
      say(
        `warning: a map of ${used} rows of attention says little; give texts of ${FEW_ROWS} tokens or more`,
      );
    const closest = `each verifier layer's closest draft layer: ${map.layers.join(' ')}`;
    say(dim(`a map of kind ${map.kind} of ${used} rows; ${closest}; ${file} and ${picture} written`));
  } finally {
    lm.dispose();
  }
}

/** `report`: draws a folder of results as one HTML page of figures. */
import {existsSync, mkdirSync, writeFileSync} from 'node:fs';
import * as path from 'node:path';

import type {LayerMap} from '../../models/layer_map.js';
import {keptKeys} from '../evaluate/kept_keys.js';
import {pairInWords} from '../evaluate/records.js';
import type {LanguageModel} from '../language_model.js';
import {load, resolveModel, type LoadOptions} from '../load.js';
import {LONG_PASSAGE} from './passage.js';
import {drawAttentionSpeedup} from './attention_speedup.js';
import {drawDivergence} from './divergence.js';
import {standalone} from './svg.js';
import type {Drawn, Missing} from './figure.js';
import {KEPT_KEYS_TITLE, drawKeptKeysFigure} from './kept_keys.js';
import {drawMaskTime} from './mask_time.js';
import {openingOf} from './opening.js';
import {renderPage} from './page.js';
import {drawPasskeys} from './passkeys.js';
import {drawPerplexity} from './perplexity.js';
import {readFiles, readMap} from './read.js';
import {drawThroughput} from './throughput.js';

export type {Missing} from './figure.js';
export {drawKeptKeys, type KeptKeysPictures} from './kept_keys.js';

export interface ReportOptions extends Pick<
  LoadOptions,
  'draft' | 'verifier' | 'layerMap' | 'backend' | 'onProgress'
> {
  /** Where `report.html` and `figures/` go. Default: the folder itself. */
  out?: string;
  /** The text that the pair decodes for the picture of kept keys. Default: a passage of the package. */
  text?: string;
  /** Share of the draft's attention that the kept keys hold in that picture, in (0, 1]. Default 0.95. */
  p?: number;
  /** Ends the work with an error. */
  signal?: AbortSignal;
}

export interface Report {
  /** The page's file. */
  page: string;
  /** The pictures' files. */
  figures: string[];
  /** Figures that could not be drawn, and the commands that make their data. */
  missing: Missing[];
}

/**
 * Draws the results in a folder:
 * - `results.jsonl` and `passkey.jsonl` of `evaluate`, in the folder or in folders directly inside it,
 * - `bench.json` and `bench-gpu.json`, which hold what the benches printed,
 * - `layer_map.json`, or else the layer map beside the verifier.
 *
 * The pair also decodes a passage for a picture of the keys that it reads.
 *
 * ```ts
 * const {page, missing} = await report('results');
 * ```
 *
 * @returns the files that were written, and the figures that are missing
 * @throws Error where a file does not have its command's format, an option does not fit, or the signal fires
 */
export async function report(dir: string, options: ReportOptions = {}): Promise<Report> {
  const files = readFiles(dir);
  const {runs, bench, gpu} = files;
  const drawn: Drawn[] = [
    await drawPerplexity(runs),
    await drawPasskeys(runs),
    await drawThroughput(bench, gpu),
    await drawPassage(dir, options),
    await drawAttentionSpeedup(bench, gpu),
    await drawMaskTime(bench, gpu),
    await drawMap(dir, options),
  ];
  const figures = drawn.flatMap(({figure}) => figure ?? []);
  const missing = drawn.flatMap((one) => one.missing);

  const out = options.out ?? dir;
  const folder = path.join(out, 'figures');
  mkdirSync(folder, {recursive: true});
  const pictures = figures.flatMap(({panels}) =>
    panels.map(({name, svg}) => {
      const file = path.join(folder, `${name}.svg`);
      writeFileSync(file, `${standalone(svg)}\n`);
      return file;
    }),
  );
  const page = path.join(out, 'report.html');
  const title = `specattn: ${path.basename(path.resolve(dir))}`;
  const opening = openingOf(files, new Date().toISOString().slice(0, 10));
  writeFileSync(page, renderPage(title, opening, figures, missing));
  return {page, figures: pictures, missing};
}

/** The layer map that was asked for, or the one in the folder of results. */
function mapOf(dir: string, {layerMap}: ReportOptions): string | LayerMap | undefined {
  const file = path.join(dir, 'layer_map.json');
  return layerMap ?? (existsSync(file) ? file : undefined);
}

async function drawMap(dir: string, options: ReportOptions): Promise<Drawn> {
  const beside = path.join(resolveModel(options.verifier ?? 'pretrained', 'verifier'), 'layer_map.json');
  const source = mapOf(dir, options) ?? (existsSync(beside) ? beside : undefined);
  return drawDivergence(source === undefined ? undefined : readMap(source));
}

/**
 * Draws the kept keys of a passage. A default pair that cannot be loaded or does not fit the map is reported as
 * missing, not as an error.
 */
async function drawPassage(dir: string, options: ReportOptions): Promise<Drawn> {
  const {draft, verifier, backend, onProgress, text = LONG_PASSAGE, p, signal} = options;
  const isAskedFor = draft !== undefined || verifier !== undefined || options.layerMap !== undefined;
  const missing = (reason: string): Drawn => ({
    missing: [
      {
        figure: KEPT_KEYS_TITLE,
        reason,
        command: 'npx specattn report DIR --draft D --verifier V --text passage.txt',
      },
    ],
  });
  let lm: LanguageModel;
  try {
    lm = await load({draft, verifier, layerMap: mapOf(dir, options), ...(backend && {backend}), onProgress});
  } catch (error) {
    if (isAskedFor) throw error;
    return missing((error as Error).message);
  }
  try {
    if (!lm.draft) return missing('the verifier was given without a draft');
    if (!lm.layerMap) return missing('the pair has no layer map');
    const kept = await keptKeys(lm, text, {p, onProgress, signal});
    const figure = await drawKeptKeysFigure(kept, pairInWords(draft, verifier));
    return {figure, missing: []};
  } finally {
    lm.dispose();
  }
}

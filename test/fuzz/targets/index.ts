/** The list of all fuzz targets. */
import {describeDevices} from '../../../backend/index.js';
import type {Target} from '../target.js';
import {commandLines} from './cli.js';
import {config} from './config.js';
import {nativeDevice} from './device.js';
import {folders} from './folders.js';
import {launches} from './launches.js';
import {layerMap} from './layer_map.js';
import * as options from './options.js';
import {prompts} from './prompts.js';
import {index, safetensors} from './safetensors.js';
import {templates} from './templates.js';
import {tokenizer} from './tokenizer.js';
import {tokenizers} from './tokenizer_kinds.js';

type Any = Target<unknown>;

const parsers: Any[] = [safetensors, index, config, tokenizer, tokenizers, templates, layerMap, commandLines];
const {generateOptions, loadOptions, writtenOptions, evaluateOptions, calibrateOptions} = options;
/** Targets that need the native backend. */
const native: Any[] = [
  launches,
  nativeDevice,
  folders,
  prompts,
  writtenOptions,
  evaluateOptions,
  calibrateOptions,
];

export const TARGETS: readonly Any[] = [...parsers, generateOptions, loadOptions, ...native];

/** The reason why a target cannot run here; undefined if it can. */
export function missing(target: Any): string | undefined {
  const {device, reason} = describeDevices();
  return native.includes(target) && !device ? `no native device: ${reason}` : undefined;
}

/** The number of cases of a target, if all targets together have `cases`. */
export function casesOf(target: Any, cases: number): number {
  const all = TARGETS.reduce((sum, {share}) => sum + share, 0);
  return Math.ceil((cases * target.share) / all);
}

/**
 * `npm run bench:gpu [-- --only SECTION,... --json --random-weights CONFIG... --peers FILE]` times kernels at the
 * shapes of real models, and whole models of random weights, on a GPU. First it compares results with references
 * (refcheck). Tables go to standard error, one JSON object to standard output.
 */
import {execFileSync} from 'node:child_process';
import {existsSync} from 'node:fs';
import * as path from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import {Command} from 'commander';

import {readConfig, type LlamaConfig} from '../../models/hf/config.js';
import {packageRoot} from '../../backend/addon.js';
import {BACKEND} from '../../backend/index.js';
import '../../src/index.js';
import {nativeBackend} from '../../backend/current.js';
import {machine} from '../statistics.js';
import {Bench, SIZES, SMALL, type NamedConfig} from './bench.js';
import {attention, bandwidth, mask} from './kernels.js';
import {loading, prefill, step} from './models.js';
import {refcheck} from './refcheck.js';
import {Report, markdown, readPeers, type Section} from './report.js';
import {round} from './round.js';

const FOLDER = path.join(packageRoot, 'bench', 'gpu');
const CONFIGS = ['llama-2-7b', 'tinyllama-1.1b'];

interface Options {
  only?: string[];
  json?: boolean;
  randomWeights: string[];
  peers: string;
  folder?: string;
  runs: number;
  small?: boolean;
}

/**
 * The sections in the order in which they run. `bandwidth` always runs, since the floors of the others are computed
 * from its result.
 */
const SECTIONS: Record<string, (bench: Bench, options: Options) => Section | Promise<Section>> = {
  bandwidth,
  mask,
  attention,
  step,
  round,
  prefill,
  loading: (bench, {folder}) => loading(bench, folder),
};

function parseOptions(): Options {
  const list = (text: string) => text.split(',');
  const options = new Command('bench:gpu')
    .description('Checks results against references, then times kernels and models on a GPU.')
    .option('--only <sections>', `sections to run, of ${Object.keys(SECTIONS).join(', ')}`, list)
    .option('--json', 'print the JSON object only')
    .option(
      '--random-weights <config...>',
      'shapes of the verifier and of its draft: config.json files, or names in bench/gpu/configs',
      CONFIGS,
    )
    .option(
      '--peers <file>',
      'times of other projects, in the format of peers.py',
      path.join(FOLDER, 'peers.json'),
    )
    .option('--folder <dir>', 'a Hugging Face folder for the section loading (default: a made-up one)')
    .option('--runs <n>', 'replays of each measurement', Number, 30)
    .option('--small', 'a smoke test: tiny sizes, on any device; the times mean nothing')
    .parse()
    .opts<Options>();
  for (const name of options.only ?? [])
    if (!(name in SECTIONS))
      throw new Error(`--only must be of ${Object.keys(SECTIONS).join(', ')} but one is '${name}'`);
  if (!Number.isInteger(options.runs) || options.runs < 1)
    throw new Error(`--runs must be a whole number >= 1 but is ${options.runs}`);
  return options;
}

/** @param name a config.json file, or a name in bench/gpu/configs */
function configOf(name: string, small: boolean | undefined): NamedConfig {
  const known = path.join(FOLDER, 'configs', `${name}.json`);
  const config = readConfig(existsSync(known) ? known : name);
  return {name: path.basename(name, '.json'), config: small ? shrink(config) : config};
}

/** A tiny model with the options of `config`, for `--small`. */
function shrink(config: LlamaConfig): LlamaConfig {
  const heads = {numAttentionHeads: 8, numKeyValueHeads: 4, headDim: 16};
  const layers = {numHiddenLayers: Math.ceil(config.numHiddenLayers / 8)};
  return {...config, ...heads, ...layers, hiddenSize: 64, intermediateSize: 96, vocabSize: 256};
}

/** Name, driver, largest clocks and power limit of the GPU, from nvidia-smi; undefined where nvidia-smi cannot run. */
function gpuState(): string | undefined {
  const query = 'name,driver_version,clocks.max.sm,clocks.max.mem,power.limit';
  try {
    return execFileSync('nvidia-smi', [`--query-gpu=${query}`, '--format=csv,noheader'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  } catch {
    return undefined;
  }
}

async function main(): Promise<void> {
  const options = parseOptions();
  await tf.setBackend(BACKEND);
  const backend = nativeBackend();
  if (!backend) throw new Error(`the backend '${BACKEND}' could not be started`);
  if (backend.device.name !== 'cuda' && !options.small)
    throw new Error(`there is no CUDA device ('specattn doctor' says why); --small runs on the CPU`);
  const say = (text: string) => options.json || console.error(text);

  const about = {...machine(), gpu: gpuState()};
  say(JSON.stringify(about));
  const peers = readPeers(options.peers);
  const report = new Report(peers);
  const configs = options.randomWeights.map((name) => configOf(name, options.small));
  const sizes = options.small ? SMALL : SIZES;
  const bench = new Bench(backend, report, sizes, options.small ? 2 : options.runs, configs);
  const sections: Section[] = [];
  const seconds: Record<string, number> = {};
  const timed = async <T>(name: string, work: () => T | Promise<T>): Promise<T> => {
    const start = performance.now();
    const result = await work();
    seconds[name] = Math.round((performance.now() - start) / 100) / 10;
    say(`${name}: ${seconds[name]} s`);
    return result;
  };
  await timed('refcheck', () => refcheck(bench));
  for (const [name, section] of Object.entries(SECTIONS)) {
    if (name !== 'bandwidth' && options.only && !options.only.includes(name)) continue;
    sections.push(await timed(name, () => section(bench, options)));
    say(markdown(sections[sections.length - 1]));
    bench.trim();
  }
  bench.dispose();
  const {us: _, ...peersAbout} = peers;
  console.log(JSON.stringify({machine: about, peers: peersAbout, refcheck: 'passed', seconds, sections}));
}

main().catch((error: Error) => {
  console.error(`bench:gpu: ${error.message}`);
  process.exitCode = 1;
});

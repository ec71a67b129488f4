/** Reads and checks the files of a report: what `evaluate`, `calibrate` and the benches left in a folder. */
import {existsSync, readFileSync, readdirSync, statSync} from 'node:fs';
import * as path from 'node:path';

import {Fields} from '../../models/hf/json_file.js';
import type {KlMap, LayerMap, Mixture} from '../../models/layer_map.js';
import type {RunAbout} from '../evaluate/records.js';
import type {MethodResult} from '../evaluate/result.js';

/** A line of `results.jsonl`. Charts need the required fields; lines of older or other programs may lack the rest. */
export type Result = Pick<MethodResult, 'method' | 'perplexity' | 'kvReduction'> & Partial<MethodResult>;

/** The results of one run of `evaluate`. */
export interface Run {
  /** Name of the run's folder inside the report's folder; '' for the report's folder itself. */
  name: string;
  /** What the results were made with; undefined where an older version wrote them. */
  about?: RunAbout;
  results: Result[];
  passkeys: Passkey[];
}

/** A line of `passkey.jsonl`: how many passkeys a method found in texts of one length. */
export interface Passkey {
  method: string;
  /** Kind of passkey. */
  key: string;
  /** Tokens of the text. */
  length: number;
  /** Where the text tells the passkey: 0 at its beginning, 1 at its end. */
  depth: number;
  correct: number;
  total: number;
}

/** One measurement of decoding by `npm run bench`. */
export interface Decoded {
  mode: string;
  /** Tokens of the prompt. */
  context: number;
  tokensPerSecond: number;
  timesPlain?: number;
  acceptance?: number;
  kvReduction?: number;
}

/** The contents of `bench.json`, which `npm run bench` prints. */
export interface CpuBench {
  machine: string;
  kernels: {kernel: string; shape: string; us: number}[];
  decode: Decoded[];
}

/** One measurement by `npm run bench:gpu`. */
export interface GpuRow {
  id: string;
  /** Microseconds. */
  us: number;
  /** Microseconds that others report for the same work, by name. */
  peerUs?: Record<string, number>;
  [extra: string]: unknown;
}

/** The contents of `bench-gpu.json`, which `npm run bench:gpu` prints. */
export interface GpuBench {
  machine: string;
  /** Where the figures of others are from, in words. */
  peers: string;
  /** The measurements of all sections. */
  rows: GpuRow[];
}

/** The part of a layer map that is drawn. It can be read without the models of the map. */
export type DrawnMap = Pick<KlMap, 'layers' | 'kl' | 'text'> & {mixture?: Pick<Mixture, 'kl'>};

export interface Files {
  runs: Run[];
  bench?: CpuBench;
  gpu?: GpuBench;
}

type Json = Record<string, unknown>;

const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const isNumber = (value: unknown): value is number => Number.isFinite(value);
const isPositive = (value: unknown): value is number => isNumber(value) && value > 0;
const listOf = (value: unknown): Json[] => (Array.isArray(value) ? value.filter(isObject) : []);
const text = (value: unknown): string => (typeof value === 'string' ? value : '');

/**
 * Reads `results.jsonl` and `passkey.jsonl` in a folder and in the folders inside it, and its `bench.json` and
 * `bench-gpu.json`. Missing files and lines of unknown kinds are left out.
 * @throws Error naming the file where it does not have its command's format
 */
export function readFiles(dir: string): Files {
  if (!existsSync(dir) || !statSync(dir).isDirectory())
    throw new Error(`[report] dir must be a folder but there is none at '${dir}'`);
  const folders = readdirSync(dir, {withFileTypes: true})
    .filter((entry) => entry.isDirectory())
    .map(({name}) => name)
    .sort();
  const runs = ['', ...folders].map((name): Run => {
    const file = (of: string) => path.join(dir, name, of);
    return {
      name,
      about: readJson(file('run.json'), readAbout, 'what evaluate wrote'),
      results: readLines(file('results.jsonl')).filter(isResult) as unknown as Result[],
      passkeys: readLines(file('passkey.jsonl')).filter(isPasskey) as unknown as Passkey[],
    };
  });
  return {
    runs: runs.filter(({results, passkeys}) => results.length + passkeys.length > 0),
    bench: readJson(path.join(dir, 'bench.json'), readBench),
    gpu: readJson(path.join(dir, 'bench-gpu.json'), readGpuBench),
  };
}

/** Lines without a perplexity belong to another task and are left out. */
function isResult({method, perplexity, kvReduction}: Json): boolean {
  return typeof method === 'string' && isPositive(perplexity) && isNumber(kvReduction);
}

function isPasskey({method, key, length, depth, correct, total}: Json): boolean {
  const isShare = isNumber(depth) && depth >= 0 && depth <= 1;
  const isCount = isNumber(correct) && isPositive(total) && correct >= 0 && correct <= total;
  return typeof method === 'string' && typeof key === 'string' && isPositive(length) && isShare && isCount;
}

/** Reads a file of JSON objects, one a line; none where there is no file. */
function readLines(file: string): Json[] {
  if (!existsSync(file)) return [];
  const lines = readFileSync(file, 'utf8').split('\n');
  return lines.flatMap((line, i): Json[] => {
    if (line.trim() === '') return [];
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch (error) {
      throw new Error(`${file}: line ${i + 1} must be JSON: ${(error as Error).message}`, {cause: error});
    }
    if (!isObject(value)) throw new Error(`${file}: line ${i + 1} must be a JSON object`);
    return [value];
  });
}

/** Reads a file with one JSON object; lines that npm printed before it are skipped. */
function readJson<T>(file: string, read: (value: Json) => T, what = 'what the bench printed'): T | undefined {
  if (!existsSync(file)) return undefined;
  const content = readFileSync(file, 'utf8');
  const begin = content.search(/^\{/m);
  let value: unknown;
  try {
    value = JSON.parse(begin < 0 ? content : content.slice(begin));
  } catch (error) {
    throw new Error(`${file}: must hold ${what}, a JSON object: ${(error as Error).message}`, {
      cause: error,
    });
  }
  return read(value as Json);
}

function readAbout({pair, machine, date}: Json): RunAbout | undefined {
  const [inWords, where, when] = [pair, machine, date].map(text);
  return inWords && where && when ? {pair: inWords, machine: where, date: when} : undefined;
}

function readBench({machine, kernels, decode}: Json): CpuBench {
  const isDecoded = (row: Json) =>
    typeof row.mode === 'string' && isPositive(row.context) && isPositive(row.tokensPerSecond);
  const isKernel = (row: Json) =>
    typeof row.kernel === 'string' && typeof row.shape === 'string' && isPositive(row.us);
  return {
    machine: machineInWords(machine),
    kernels: listOf(kernels).filter(isKernel) as unknown as CpuBench['kernels'],
    decode: listOf(decode).filter(isDecoded) as unknown as Decoded[],
  };
}

function readGpuBench({machine, peers, sections}: Json): GpuBench {
  const rows = listOf(sections).flatMap((section) => listOf(section.rows));
  const about = isObject(peers) ? [peers.machine, peers.date, peers.source].map(text) : [];
  return {
    machine: machineInWords(machine),
    peers: about.filter((part) => part !== '').join('; '),
    rows: rows.filter(({id, us}) => typeof id === 'string' && isPositive(us)) as GpuRow[],
  };
}

function machineInWords(machine: unknown): string {
  if (!isObject(machine)) return 'a machine that the bench did not name';
  const {device, memoryGB, node, gpu} = machine;
  const memory = isNumber(memoryGB) ? `${memoryGB} GB` : '';
  return [text(device), memory, text(node) && `Node ${text(node)}`, text(gpu)]
    .filter((part) => part !== '')
    .join('; ');
}

/**
 * Reads a layer map of any pair, or takes one as it is.
 * @throws Error naming the file, the field, what was expected and what came
 */
export function readMap(source: string | LayerMap): DrawnMap {
  const fields = typeof source === 'string' ? Fields.read(source) : new Fields('layerMap', {...source});
  const kl = fields.list<number[]>(
    'kl',
    'a list of lists of numbers',
    (row) => Array.isArray(row) && row.every(isNumber),
  );
  const layers = fields.list<number>('layers', `${kl.length} draft layers`, isNumber);
  const about = fields.object('text');
  const mixture = fields.object('mixture')?.list<number>('kl', `${kl.length} numbers`, isNumber);
  if (!about) throw fields.error('text', 'an object');
  if (mixture && mixture.length !== kl.length)
    throw fields.object('mixture')!.error('kl', `${kl.length} numbers`);
  return {
    kl,
    layers,
    text: {rows: about.whole('rows', 1), window: about.whole('window', 1)},
    ...(mixture && {mixture: {kl: mixture}}),
  };
}

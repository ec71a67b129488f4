/** What a report is made of: the files that other commands left in a folder. */
import {existsSync, readFileSync, readdirSync, statSync} from 'node:fs';
import * as path from 'node:path';

import {Fields} from '../../models/hf/json_file.js';
import type {KlMap, LayerMap, Mixture} from '../../models/layer_map.js';
import type {MethodResult} from '../evaluate/result.js';

/** What a chart needs of a line of `results.jsonl`; the rest is there if that command wrote it. */
export type Result = Pick<MethodResult, 'method' | 'perplexity' | 'kvReduction'> & Partial<MethodResult>;

/** One run of `evaluate`. */
export interface Run {
  /** Its folder within the report's; '' for the report's own. */
  name: string;
  results: Result[];
  passkeys: Passkey[];
}

/** A line of `passkey.jsonl`: keys that a method found again in texts of a length. */
export interface Passkey {
  method: string;
  /** What kind of key. */
  key: string;
  /** Tokens. */
  length: number;
  /** Where the key was told: 0 at the text's beginning, 1 at its end. */
  depth: number;
  correct: number;
  total: number;
}

/** A line of the table `decode` of `npm run bench`. */
export interface Decoded {
  mode: string;
  /** Tokens of the prompt. */
  context: number;
  tokensPerSecond: number;
  timesPlain?: number;
  acceptance?: number;
  kvReduction?: number;
}

/** `bench.json`: what `npm run bench` printed. */
export interface CpuBench {
  machine: string;
  kernels: {kernel: string; shape: string; us: number}[];
  decode: Decoded[];
}

export interface GpuRow {
  id: string;
  us: number;
  /** Others' microseconds, by their names. */
  peerUs?: Record<string, number>;
  [extra: string]: unknown;
}

/** `bench-gpu.json`: what `npm run bench:gpu` printed. */
export interface GpuBench {
  machine: string;
  /** Where others' figures are from. */
  peers: string;
  /** All sections' rows. */
  rows: GpuRow[];
}

/** What a picture needs of a layer map, whose models need not be here. */
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
 * Reads the folder: `results.jsonl` and `passkey.jsonl` in it and in the folders in it, `bench.json`, `bench-gpu.json`. What is not there is left out, and so are
 * lines of kinds that are not known here.
 * @throws Error naming the file where it is not what its command writes
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

/** A line without a perplexity is of another task, and not for these charts. */
function isResult({method, perplexity, kvReduction}: Json): boolean {
  return typeof method === 'string' && isPositive(perplexity) && isNumber(kvReduction);
}

function isPasskey({method, key, length, depth, correct, total}: Json): boolean {
  const isShare = isNumber(depth) && depth >= 0 && depth <= 1;
  const isCount = isNumber(correct) && isPositive(total) && correct >= 0 && correct <= total;
  return typeof method === 'string' && typeof key === 'string' && isPositive(length) && isShare && isCount;
}

/** The JSON objects of a file, a line each; none where there is no file. */
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

/** npm's own lines before the JSON object are passed over. */
function readJson<T>(file: string, read: (value: Json) => T): T | undefined {
  if (!existsSync(file)) return undefined;
  const content = readFileSync(file, 'utf8');
  const begin = content.search(/^\{/m);
  let value: unknown;
  try {
    value = JSON.parse(begin < 0 ? content : content.slice(begin));
  } catch (error) {
    throw new Error(`${file}: must hold what the bench printed, a JSON object: ${(error as Error).message}`, {
      cause: error,
    });
  }
  return read(value as Json);
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
 * A layer map of any pair.
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

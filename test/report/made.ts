/** Small made-up data of every kind that a report draws. */
import * as fs from 'node:fs';
import * as path from 'node:path';

import type {CpuBench, GpuBench, Result} from '../../src/report/read.js';

export const RESULTS: Result[] = [
  {
    method: 'dense',
    perplexity: 20,
    change: 0,
    kvReduction: 0,
    kvReductionAll: 0,
    bytesReduction: 0,
    agreement: 1,
    windows: 8,
    tokens: 14752,
  },
  {
    method: 'specattn:p=0.9',
    perplexity: 21.25,
    change: 0.0625,
    changeError: 0.0123,
    kvReduction: 0.671,
    kvReductionAll: 0.503,
    bytesReduction: 0.45,
    agreement: 0.876,
    windows: 8,
    tokens: 14752,
  },
  {
    method: 'specattn:p=0.95',
    perplexity: 20.5,
    change: 0.025,
    changeError: 0.0051,
    kvReduction: 0.512,
    kvReductionAll: 0.384,
    bytesReduction: 0.33,
    agreement: 0.921,
    windows: 8,
    tokens: 14752,
  },
  {method: 'specattn:p=0.95,union=full', perplexity: 20.4, kvReduction: 0.49},
  {
    method: 'streaming:budget=256',
    perplexity: 19.9,
    change: -0.005,
    kvReduction: 0.774,
    windows: 8,
    tokens: 14752,
  },
];

export const PASSKEYS = ['dense', 'streaming:budget=0.2'].flatMap((method, m) =>
  [512, 2048].flatMap((length, l) =>
    [0, 0.5, 1].map((depth, d) => {
      const correct = m === 0 ? 10 : Math.max(0, 5 * d - l);
      return {task: 'passkey', id: `${m}${l}${d}`, method, key: 'name', length, depth, correct, total: 10};
    }),
  ),
);

const KERNELS: CpuBench['kernels'] = [
  {kernel: 'NucleusMask', shape: '1 x 2048 weights', us: 9.25},
  {kernel: 'Float32Array.sort', shape: '1 x 2048 weights', us: 110},
  {kernel: 'NucleusMask', shape: '1 x 8192 weights', us: 31},
  {kernel: 'Float32Array.sort', shape: '1 x 8192 weights', us: 545},
  {kernel: 'CausalAttention', shape: '5 rows, 4096 keys', us: 280},
  {kernel: 'SparseAttention', shape: '5 rows, 31% of 4096 keys', us: 140},
  {kernel: 'SparseAttention', shape: '5 rows, 22% of 4096 keys', us: 87.5},
  {kernel: 'CausalAttention', shape: '1 rows, 4096 keys', us: 99},
  {kernel: 'SparseAttention', shape: '1 rows, 22% of 4096 keys', us: 44},
];

const DECODE = [
  {
    prompt: 'short',
    context: 8,
    mode: 'plain',
    tokensPerSecond: 1500,
    timesPlain: 1,
    acceptance: 0,
    kvReduction: 0,
  },
  {
    prompt: 'short',
    context: 8,
    mode: 'dense, gamma 2',
    tokensPerSecond: 1900,
    timesPlain: 1.27,
    acceptance: 0.87,
    kvReduction: 0,
  },
  {
    prompt: 'short',
    context: 8,
    mode: 'dense, gamma 4',
    tokensPerSecond: 2240,
    timesPlain: 1.49,
    acceptance: 0.77,
    kvReduction: 0,
  },
  {
    prompt: 'long',
    context: 1901,
    mode: 'plain',
    tokensPerSecond: 521,
    timesPlain: 1,
    acceptance: 0,
    kvReduction: 0,
  },
  {
    prompt: 'long',
    context: 1901,
    mode: 'dense, gamma 2',
    tokensPerSecond: 778,
    timesPlain: 1.48,
    acceptance: 0.82,
    kvReduction: 0,
  },
  {
    prompt: 'long',
    context: 1901,
    mode: 'dense, gamma 4',
    tokensPerSecond: 954,
    timesPlain: 1.85,
    acceptance: 0.8,
    kvReduction: 0,
  },
];

const MACHINE = {node: 'v20.20.2', cpu: 'a CPU', cores: 2, memoryGB: 24, device: 'a CPU, 2 threads'};
/** Like the output of `npm run bench`. */
export const BENCH = {machine: MACHINE, refcheck: 'passed', kernels: KERNELS, dispatch: [], decode: DECODE};

const GPU_SECTIONS: {name: string; note: string; rows: GpuBench['rows']}[] = [
  {
    name: 'mask',
    note: '',
    rows: [
      {id: 'mask/32x2048', us: 4.79, peerUs: {'torch.sort in a CUDA graph': 53.6}},
      {id: 'mask/32x8192', us: 8.59, peerUs: {'torch.sort in a CUDA graph': 129}},
      {id: 'select/21x4x2048', us: 18.8},
    ],
  },
  {
    name: 'attention',
    note: '',
    rows: [
      {id: 'attention/llama-2-7b/dense/1x8192', us: 55.2},
      {id: 'attention/llama-2-7b/dense/5x8192', us: 60},
      {id: 'attention/llama-2-7b/sparse 22%/5x8192', us: 24},
      {id: 'attention/llama-2-7b/sparse 5%/5x8192', us: 15},
    ],
  },
  {
    name: 'round',
    note: '',
    rows: [
      {
        id: 'round/dense/2048',
        us: 10120,
        'draft µs': 4470,
        'select µs': 1.2,
        'verify µs': 5620,
        'accept µs': 20,
      },
      {
        id: 'round/sparse 22%/2048',
        us: 10210,
        'draft µs': 4780,
        'select µs': 30,
        'verify µs': 5370,
        'accept µs': 20,
      },
      {id: 'round/dense/32768', us: 17650},
      {id: 'round/sparse 22%/32768', us: 13890},
    ],
  },
];
/** Like the output of `npm run bench:gpu`. */
export const GPU_BENCH = {
  machine: {...MACHINE, device: 'a GPU'},
  peers: {machine: 'another GPU', date: '2026-11-23', source: 'medians'},
  sections: GPU_SECTIONS,
};

export const LAYER_MAP = {
  version: 1,
  kind: 'kl',
  draft: {config: 'of no model here'},
  verifier: {config: 'of no model here'},
  layers: [0, 0, 1],
  heads: [],
  kl: [
    [0.125, 0.75],
    [0.5, 0.4375],
    [1.5, 0.25],
  ],
  text: {rows: 7181, window: 2048},
};

/** Writes the given files into `dir`. */
export function writeFiles(
  dir: string,
  files: {
    results?: readonly object[];
    run?: object;
    passkeys?: readonly object[];
    bench?: object;
    gpu?: object;
    map?: object;
  },
): void {
  fs.mkdirSync(dir, {recursive: true});
  const {results, run, passkeys, bench, gpu, map} = files;
  const lines = (list: readonly object[]) => list.map((one) => `${JSON.stringify(one)}\n`).join('');
  const write = (name: string, content: string) => fs.writeFileSync(path.join(dir, name), content);
  if (results) write('results.jsonl', lines(results));
  if (run) write('run.json', JSON.stringify(run));
  if (passkeys) write('passkey.jsonl', lines(passkeys));
  if (bench)
    write('bench.json', `\n> specattn@0.1.0 bench\n> node dist/bench/index.js\n\n${JSON.stringify(bench)}\n`);
  if (gpu) write('bench-gpu.json', `${JSON.stringify(gpu)}\n`);
  if (map) write('layer_map.json', JSON.stringify(map));
}

export const ALL = {results: RESULTS, passkeys: PASSKEYS, bench: BENCH, gpu: GPU_BENCH, map: LAYER_MAP};

/** The tables of a page by caption, as lists of rows of cells; the first row is the head. */
export function tablesOf(html: string): Record<string, string[][]> {
  const strip = (cell: string) =>
    cell
      .replace(/&#39;/g, "'")
      .replace(/&quot;/g, '"')
      .replace(/&lt;/g, '<')
      .replace(/&gt;/g, '>')
      .replace(/&amp;/g, '&');
  const tables = [...html.matchAll(/<caption>(.*?)<\/caption>([^]*?)<\/table>/g)];
  return Object.fromEntries(
    tables.map(([, caption, body]) => [
      strip(caption),
      [...body.matchAll(/<tr>(.*?)<\/tr>/g)].map(([, row]) =>
        [...row.matchAll(/<t[hd][^>]*>(.*?)<\/t[hd]>/g)].map(([, cell]) => strip(cell)),
      ),
    ]),
  );
}

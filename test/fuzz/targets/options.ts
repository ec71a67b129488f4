/** Fuzz targets: options of load, generate, evaluate and calibrate, at their limits, past them and of wrong types. */
import * as fc from 'fast-check';

import {calibrate, type CalibrateOptions} from '../../../src/calibration/calibrate.js';
import {evaluate, type EvaluateOptions} from '../../../src/evaluate/index.js';
import {load, type LoadOptions} from '../../../src/load.js';
import {resolveOptions, type GenerateOptions} from '../../../src/options.js';
import {hostileNumber, hostileText, hostileValue} from '../hostile.js';
import type {Target} from '../target.js';
import {CasePair} from './prompts.js';

const circular: unknown[] = [];
circular.push(circular);

/** Values that a program can pass, also those that no file can hold. */
const oddValue = fc.oneof(
  {weight: 3, arbitrary: hostileNumber},
  {weight: 2, arbitrary: hostileValue},
  {
    weight: 1,
    arbitrary: fc.constantFrom<unknown>(
      ...[
        1n,
        Symbol('x'),
        () => 1,
        Object.create(null),
        circular,
        [1n],
        new Date(NaN),
        new Map(),
        new Float32Array(2),
      ],
      ...[{toString: null}, {valueOf: () => 1}, new Proxy({}, {}), undefined, /x/],
    ),
  },
);

type Values = Record<string, unknown>;

/** Good options, except for one or two with odd values. */
function options(good: Values): fc.Arbitrary<Values> {
  const names = [...Object.keys(good), 'unknown', '__proto__', 'toString'];
  return fc
    .array(fc.tuple(fc.constantFrom(...names), oddValue), {minLength: 1, maxLength: 2})
    .map((changes) => ({...good, ...Object.fromEntries(changes)}));
}

/** Whether a refusal begins with the function's name and names one of the given options. */
function namesOption(op: string, message: string, given: Values): boolean {
  return message.startsWith(`[${op}] `) && Object.keys(given).some((name) => message.includes(name));
}

const GENERATE: Required<Omit<GenerateOptions, 'onText' | 'signal'>> = {
  ...{
    maxNewTokens: 3,
    draft: true,
    verification: 'sparse',
    p: 0.9,
    gamma: 2,
    refreshEvery: 1,
    sinks: 1,
    recent: 2,
  },
  ...{
    denseLayers: 1,
    union: 'causal',
    granularity: 'layer',
    temperature: 1,
    topK: 5,
    topP: 0.9,
    minP: 0.1,
    seed: 1,
  },
  stop: ['x'],
} as const;

export const generateOptions: Target<Values> = {
  name: 'options of generate',
  share: 10,
  input: options({...GENERATE, onText: undefined, signal: undefined}),
  run: (given) => void resolveOptions(given as GenerateOptions),
  names: (message, given) => namesOption('generate', message, given),
};

const writing = new CasePair();

/** Checks that `generate` writes a text with every accepted combination of options. */
export const writtenOptions: Target<Values> = {
  name: 'texts by any options',
  share: 1.5,
  input: options(GENERATE).map((given) => ({
    ...given,
    maxNewTokens: 4,
    onText: undefined,
    signal: undefined,
  })),
  setUp: () => writing.open(),
  run: (given) => writing.lm!.generate('The captain', given as GenerateOptions),
  names: (message, given) => namesOption('generate', message, given),
  tearDown: () => writing.close(),
};

const SPECS = {
  kinds: ['dense', 'specattn', 'quest', 'streaming', 'oracle', 'random', 'constructor', ''],
  names: [
    'p',
    'gamma',
    'union',
    'sinks',
    'recent',
    'denseLayers',
    'granularity',
    'refreshEvery',
    'map',
    'budget',
    'page',
    'seed',
    '',
  ],
};
const spec = fc
  .tuple(
    fc.constantFrom(...SPECS.kinds),
    fc.array(
      fc.tuple(
        fc.constantFrom(...SPECS.names),
        fc.oneof(hostileNumber.map(String), hostileText, fc.constantFrom('kl', 'mixture', 'head', 'full')),
      ),
      {maxLength: 3},
    ),
  )
  .map(([kind, given]) => `${kind}:${given.map(([name, value]) => `${name}=${value}`).join(',')}`);

const evaluated = new CasePair();
const TEXT = 'The captain looked at the sea and said nothing. '.repeat(8);

/** Methods and options of `evaluate`. Most are refused. An accepted run takes a while, even with 24 tokens. */
export const evaluateOptions: Target<Values> = {
  name: 'options of evaluate',
  share: 0.6,
  input: fc.oneof(
    fc.record({
      methods: fc.array(fc.oneof(spec, fc.constant('dense')), {maxLength: 2}),
      window: fc.constant(24),
      windows: fc.constant(1),
    }),
    options({methods: ['dense'], window: 24, prefill: 0.5, windows: 1}),
  ),
  setUp: () => evaluated.open(),
  run: (given) => evaluate(evaluated.lm!, [{name: 'text', text: TEXT}], given as unknown as EvaluateOptions),
  names: (message, given) =>
    (message.startsWith('[evaluate] ') &&
      /\[evaluate\] (method|texts|map=|specattn needs|\w+ has no option|\w+ of \w+ must be)/.test(message)) ||
    namesOption('evaluate', message, given) ||
    / cannot be read: /.test(message),
  tearDown: () => evaluated.close(),
};

const calibrated = new CasePair();

export const calibrateOptions: Target<Values> = {
  name: 'options of calibrate',
  share: 0.4,
  input: options({map: 'kl', own: true, window: 20, rows: 3}),
  setUp: () => calibrated.open(),
  run: async (given) => {
    const {verifier, draft, tokenizer} = calibrated.lm!;
    await calibrate({verifier, draft: draft!, tokenizer}, [TEXT], given as CalibrateOptions);
  },
  names: (message, given) => namesOption('calibrate', message, given) || message.startsWith('[calibrate] '),
  tearDown: () => calibrated.close(),
};

/** Options of `load`. All are refused before a model is read, because the folders hold none. */
export const loadOptions: Target<Values> = {
  name: 'options of load',
  share: 5,
  input: options({
    ...{verifier: '/no/such/folder', draft: null, layerMap: undefined, dtype: 'auto', contextLength: 8},
    ...{backend: undefined, onProgress: undefined},
  }).filter(({verifier}) => verifier !== undefined),
  run: (given) => load(given as LoadOptions),
  // A folder that exists has no tokenizer.
  names: (message, given) =>
    namesOption('load', message, given) || /tokenizer\.json: cannot be read/.test(message),
};

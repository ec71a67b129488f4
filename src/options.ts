/** Options of `generate`: their defaults, and what they may be. */
import {checkNames, checkValue, FLAG, MOST_COUNT, oneOf, real, whole, type Check} from '../backend/check.js';

/** How the verifier reads its cache while it verifies drafted tokens. */
export type Verification =
  /** every key: the output is distributed exactly as the verifier's own */
  | 'dense'
  /** the keys that the draft's attention selects (the paper's method) */
  | 'sparse'
  /** `sparse`, and every `refreshEvery` rounds a dense pass over the rows since the last one renews their keys and values */
  | 'refresh';

export interface GenerateOptions {
  /** Tokens to write at most. Default 128. */
  maxNewTokens?: number;
  /** False decodes plainly, one token a step, though a draft is loaded. Default true where one is. */
  draft?: boolean;
  /** Default `sparse`; `dense` is exact. */
  verification?: Verification;
  /** Share of the draft's attention that the selected keys hold, in (0, 1]; 1 keeps every key. Default 0.95. */
  p?: number;
  /** Tokens drafted a round, 1 to 16, or `adaptive`: as many as the acceptance so far makes worth it. Default `adaptive`. */
  gamma?: number | 'adaptive';
  /** Rounds between two dense passes of `refresh`. Default 8. */
  refreshEvery?: number;
  /** First keys of the sequence that are always kept. Default 4. */
  sinks?: number;
  /** Most recent keys that are always kept. Default 16. */
  recent?: number;
  /** First layers of the verifier that stay dense. Default 2. */
  denseLayers?: number;
  /** Which steps' nuclei a row of the block sees: those up to its own, its own alone, or all. Default `causal`. */
  union?: 'row' | 'causal' | 'full';
  /** One selection a layer, or one a key/value head. Default `layer`. */
  granularity?: 'layer' | 'head';
  /** 0 takes the likeliest token. Default 0. */
  temperature?: number;
  /** Only the k likeliest tokens; 0 keeps all. Default 0. */
  topK?: number;
  /** The smallest set of tokens with this mass; 1 keeps all. Default 1. */
  topP?: number;
  /** Only tokens at least this share as likely as the likeliest; 0 keeps all. Default 0. */
  minP?: number;
  /** Any whole number from 0 to 2^53 - 1; the same seed gives the same text again, on the same device. Default: drawn at random. */
  seed?: number;
  /** Texts that end the answer; they are not part of it. */
  stop?: string | readonly string[];
  /** Called with each piece of text as it is written. */
  onText?: (piece: string) => void;
  /** Ends the answer between two rounds, with `finishReason: 'aborted'`. */
  signal?: AbortSignal;
}

export type ResolvedOptions = Required<Omit<GenerateOptions, 'onText' | 'signal' | 'stop'>> &
  Pick<GenerateOptions, 'onText' | 'signal'> & {stop: string[]};

/** The longest block is 31 rows (a bit each in NucleusSelect); longer drafts than 16 never paid. */
export const MAX_GAMMA = 16;

const DEFAULTS: Omit<ResolvedOptions, 'seed'> = {
  maxNewTokens: 128,
  draft: true,
  verification: 'sparse',
  p: 0.95,
  gamma: 'adaptive',
  refreshEvery: 8,
  sinks: 4,
  recent: 16,
  denseLayers: 2,
  union: 'causal',
  granularity: 'layer',
  temperature: 0,
  topK: 0,
  topP: 1,
  minP: 0,
  stop: [],
  onText: undefined,
  signal: undefined,
};

const GAMMA = whole(1, MAX_GAMMA);
const MASS = real((value) => value > 0 && value <= 1, 'a number in (0, 1]');

const CHECKS: Record<keyof ResolvedOptions, Check> = {
  maxNewTokens: whole(0),
  draft: FLAG,
  verification: oneOf('dense', 'sparse', 'refresh'),
  p: MASS,
  gamma: [(value) => value === 'adaptive' || GAMMA[0](value), `${GAMMA[1]}, or 'adaptive'`],
  refreshEvery: whole(1),
  sinks: whole(0, MOST_COUNT),
  recent: whole(0, MOST_COUNT),
  denseLayers: whole(0),
  union: oneOf('row', 'causal', 'full'),
  granularity: oneOf('layer', 'head'),
  temperature: real((value) => value >= 0 && value <= 3.4e38, 'a number from 0 to 3.4e38'),
  topK: whole(0, MOST_COUNT),
  topP: MASS,
  minP: real((value) => value >= 0 && value <= 1, 'a number in [0, 1]'),
  seed: whole(0),
  stop: [
    (value) => Array.isArray(value) && value.every((text) => typeof text === 'string' && text.length > 0),
    'a text or a list of texts, none of them empty',
  ],
  onText: [(value) => value === undefined || typeof value === 'function', 'a function'],
  signal: [(value) => value === undefined || value instanceof AbortSignal, 'an AbortSignal'],
};

/**
 * The options with defaults for what is missing or undefined.
 * @throws Error naming the option, what it may be and what came; also for an option that does not exist.
 */
export function resolveOptions(options: GenerateOptions = {}): ResolvedOptions {
  checkNames('generate', options, Object.keys(CHECKS));
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  const resolved = {
    ...DEFAULTS,
    seed: Math.floor(Math.random() * Number.MAX_SAFE_INTEGER),
    ...given,
    ...(typeof given.stop === 'string' ? {stop: [given.stop]} : {}),
  } as ResolvedOptions;
  for (const [name, rule] of Object.entries(CHECKS))
    checkValue('generate', name, resolved[name as keyof ResolvedOptions], rule);
  return resolved;
}

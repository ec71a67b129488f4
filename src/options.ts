/** The options of `generate`: what each means, its default, and what values it may have. */
import {checkNames, checkValue, FLAG, MOST_COUNT, oneOf, real, whole, type Check} from '../backend/check.js';

/** How the verifier reads its cache while it verifies drafted tokens. */
export type Verification =
  /** reads every key: the output is distributed exactly as the verifier's own */
  | 'dense'
  /** reads the keys that the draft's attention selects, as in SpecAttn (arXiv 2510.27641) */
  | 'sparse'
  /**
   * as `sparse`; every `refreshEvery` rounds a dense pass recomputes the keys and values of the rows since the last
   * dense pass
   */
  | 'refresh';

export interface GenerateOptions {
  /** The most tokens to write. Default 128. */
  maxNewTokens?: number;
  /** Whether to use the draft, if one is loaded. False decodes one token a step. Default true. */
  draft?: boolean;
  /** How the verifier reads its cache. Default `sparse`; `dense` is exact. */
  verification?: Verification;
  /** Share of the draft's attention that each nucleus of keys holds, in (0, 1]; 1 keeps every key. Default 0.95. */
  p?: number;
  /**
   * Tokens that the draft proposes in a round, 1 to 16, or `adaptive`, which follows the acceptance so far. Default
   * `adaptive`.
   */
  gamma?: number | 'adaptive';
  /** Rounds between two dense passes of the verification `refresh`. Default 8. */
  refreshEvery?: number;
  /** Number of first keys of the sequence that every row sees. Default 4. */
  sinks?: number;
  /** Number of most recent keys that every row sees. Default 16. */
  recent?: number;
  /** Number of first layers of the verifier that read every key. Default 2. */
  denseLayers?: number;
  /**
   * Which steps' nuclei a row of the block sees: `causal` those up to its own, `row` its own, `full` all. Default
   * `causal`.
   */
  union?: 'row' | 'causal' | 'full';
  /** One key set for all heads of a sparse layer, or one for each of its KV heads. Default `layer`. */
  granularity?: 'layer' | 'head';
  /** Divides the logits before sampling; 0 always takes the most likely token. Default 0. */
  temperature?: number;
  /** Keeps the k most likely tokens; 0 keeps all tokens. Default 0. */
  topK?: number;
  /**
   * Keeps the smallest set of tokens whose probabilities sum to at least this, in (0, 1]; 1 keeps all tokens. Default
   * 1.
   */
  topP?: number;
  /**
   * Keeps tokens whose probability is at least this times that of the most likely token, in [0, 1]; 0 keeps all tokens.
   * Default 0.
   */
  minP?: number;
  /**
   * A whole number from 0 to 2^53 − 1. A seed gives the same text again on the same device. Default: a random number.
   */
  seed?: number;
  /** A text, or texts, at which the answer ends. The answer does not contain it. Default: none. */
  stop?: string | readonly string[];
  /** Called with each piece of text as it is written. */
  onText?: (piece: string) => void;
  /**
   * Ends the answer. A signal that fires during the call, also while `generate` loads the models or the prompt is read,
   * is no error: the call resolves with the text so far and `finishReason: 'aborted'`, at the latest after the round or
   * the part of the prompt that is being computed. A signal that was aborted before the call is refused: the call
   * rejects with an Error whose `name` is `AbortError` and whose `cause` is the signal's reason.
   */
  signal?: AbortSignal;
}

/** All options with their defaults filled in. */
export type ResolvedOptions = Required<Omit<GenerateOptions, 'onText' | 'signal' | 'stop'>> &
  Pick<GenerateOptions, 'onText' | 'signal'> & {stop: string[]};

/** The most tokens drafted in a round. Row masks allow 30, but more than 16 have never made decoding faster. */
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
 * Refuses a signal that was aborted before the call.
 * @throws Error of the name `AbortError`
 */
export function refuseAborted(signal: AbortSignal | undefined): void {
  if (!signal?.aborted) return;
  const reason: unknown = signal.reason;
  const what = reason instanceof Error ? reason.message : String(reason);
  const error = new Error(`[generate] signal must not be aborted before the call but is: ${what}`, {
    cause: reason,
  });
  throw Object.assign(error, {name: 'AbortError'});
}

/**
 * The options, with defaults for those that are missing or undefined.
 * @throws Error naming the option, what it must be and what it is; also for an option that does not exist
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

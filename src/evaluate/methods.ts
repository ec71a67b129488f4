/** The methods of choosing keys that `evaluate` compares: their names, their options, and how both are read from a text. */
import {checkValue, MOST_COUNT, oneOf, real, refuse, TEXT, whole, type Check} from '../../backend/check.js';
import {MAX_GAMMA, resolveOptions} from '../options.js';

const PRODUCT = resolveOptions();

const p: Check = real((value) => value > 0 && value <= 1, 'a number in (0, 1]');
/** How many keys a row sees: a number from 1 on, or a share below 1 of the keys that it could see. */
const budget: Check = real(
  (value) => value > 0 && (value < 1 || Number.isInteger(value)),
  'a whole number of keys, or a share of the visible ones in (0, 1)',
);
const OPTIONS = {
  gamma: [4, whole(0, MAX_GAMMA)],
  denseLayers: [PRODUCT.denseLayers, whole(0)],
  p: [PRODUCT.p, p],
  union: [PRODUCT.union, oneOf('row', 'causal', 'full')],
  granularity: [PRODUCT.granularity, oneOf('layer', 'head')],
  sinks: [PRODUCT.sinks, whole(0, MOST_COUNT)],
  recent: [PRODUCT.recent, whole(0, MOST_COUNT)],
  refreshEvery: [0, whole(0)],
  map: ['', [TEXT[0], 'kl, mixture or a file']],
  budget: [256, budget],
  page: [16, whole(1)],
  seed: [0, whole(0, 2 ** 32 - 1)],
} satisfies Record<string, [number | string, Check]>;
type OptionName = keyof typeof OPTIONS;

/** Which options each method has. */
const METHODS = {
  dense: ['gamma'],
  specattn: ['p', 'gamma', 'union', 'sinks', 'recent', 'denseLayers', 'granularity', 'refreshEvery', 'map'],
  quest: ['budget', 'page', 'denseLayers', 'gamma'],
  streaming: ['budget', 'sinks', 'denseLayers', 'gamma'],
  oracle: ['p', 'granularity', 'sinks', 'recent', 'denseLayers', 'gamma'],
  random: ['budget', 'sinks', 'recent', 'seed', 'denseLayers', 'gamma'],
} as const satisfies Record<string, readonly OptionName[]>;
export type MethodKind = keyof typeof METHODS;

interface OptionValues {
  /** Tokens that a draft would propose a round: a block has gamma + 1 rows. Default 4. */
  gamma: number;
  /** How many layers, the first ones, see every key. Default 2. */
  denseLayers: number;
  /** Share of the attention that the kept keys hold, in (0, 1]. Default 0.95. */
  p: number;
  /** Which steps' nuclei a row of a block sees: its own, those up to its own, or all. Default `causal`. */
  union: 'row' | 'causal' | 'full';
  /** One choice of keys a layer or a KV head. Default `layer`. */
  granularity: 'layer' | 'head';
  /** How many of the first keys every row sees. Default 4. */
  sinks: number;
  /** How many of the most recent keys every row sees, its own key included. Default 16. */
  recent: number;
  /** Blocks between two dense passes, which recompute the rows' keys and values. Default 0: no dense passes. */
  refreshEvery: number;
  /** A layer map's file; or `kl` or `mixture`, that part of the pair's own map. Default '': the pair's own map. */
  map: string;
  /** How many keys a row sees; below 1, a share of the keys up to the row. Default 256. */
  budget: number;
  /** Keys of a page. Default 16. */
  page: number;
  /** Seed of the random choice, a whole number below 2^32. Default 0. */
  seed: number;
}

/** A method with all its options. */
export type Method = {
  [Kind in MethodKind]: {kind: Kind} & Pick<OptionValues, (typeof METHODS)[Kind][number]>;
}[MethodKind];
export type MethodOf<Kind extends MethodKind> = Extract<Method, {kind: Kind}>;

export const IS_METHOD: Check = [TEXT[0], "a method as in 'specattn:p=0.95,gamma=4'"];

/**
 * Reads a method from a text such as `specattn:p=0.95,gamma=4`; options that are left out have their defaults.
 * @throws Error naming the method, the option, what it may be and what came
 */
export function parseMethod(text: string): Method {
  const colon = text.indexOf(':');
  const kind = (colon < 0 ? text : text.slice(0, colon)) as MethodKind;
  if (!Object.hasOwn(METHODS, kind))
    throw new Error(
      `[evaluate] method must be one of ${Object.keys(METHODS).join(', ')}, with options as in 'specattn:p=0.95,gamma=4', but is '${text}'`,
    );
  const names: readonly string[] = METHODS[kind];
  const values: Partial<Record<string, number | string>> = {};
  for (const part of colon < 0 ? [] : text.slice(colon + 1).split(',')) {
    const [name, value] = split(part);
    if (!names.includes(name))
      throw new Error(
        `[evaluate] ${kind} has no option '${name}' (in '${text}'); its options are ${names.join(', ')}`,
      );
    const isNumber = value.trim() !== '' && Number.isFinite(Number(value));
    values[name] = isNumber && name !== 'map' ? Number(value) : value;
  }
  return makeMethod('evaluate', kind, values);
}

/**
 * Makes a method from some of its options, with defaults for the others.
 * @param caller the function that error messages name
 * @throws Error naming the option, what it may be and what came
 */
export function makeMethod(
  caller: string,
  kind: MethodKind,
  options: Readonly<Partial<Record<string, number | string>>>,
): Method {
  const values = METHODS[kind].map((name: OptionName) => {
    const [byDefault, rule]: readonly [number | string, Check] = OPTIONS[name];
    const value = options[name] ?? byDefault;
    checkValue(caller, `${name} of ${kind}`, value, rule);
    return [name, value];
  });
  const method = {kind, ...Object.fromEntries(values)} as Method;
  checkTogether(caller, method);
  return method;
}

function split(part: string): [string, string] {
  const equals = part.indexOf('=');
  return equals < 0 ? [part, ''] : [part.slice(0, equals), part.slice(equals + 1)];
}

function checkTogether(caller: string, method: Method): void {
  const fail = (what: string, expected: string, received: number): never =>
    refuse(caller, `${what} of ${method.kind}`, expected, received);
  if (method.kind === 'specattn' && method.gamma === 0) fail('gamma', '1 or more', 0);
  if (method.kind === 'streaming' && method.budget >= 1 && method.budget <= method.sinks)
    fail('budget', `more than its ${method.sinks} sinks`, method.budget);
  if (method.kind === 'random' && method.budget >= 1 && method.budget < method.sinks + method.recent)
    fail('budget', `at least sinks + recent = ${method.sinks + method.recent}`, method.budget);
  if (method.kind === 'quest' && method.budget >= 1 && method.budget < method.page)
    fail('budget', `at least a page of ${method.page}`, method.budget);
}

/** How many keys a budget gives to a row that could see `visible` keys. */
export function keysOf(budget: number, visible: number): number {
  return Math.min(visible, budget < 1 ? Math.ceil(budget * visible) : budget);
}

/** Which attention of the draft stands for each verifier layer's, found by calibration; kept in layer_map.json. */
import {writeFileSync} from 'node:fs';

import type {LlamaConfig} from './hf/config.js';
import {Fields} from './hf/json_file.js';

/** A draft head and its weight: [draft layer, head, weight]. */
export type WeightedHead = [layer: number, head: number, weight: number];

/** A convex combination: its weights, `own` among them, sum to 1. */
export interface Combination {
  /** Of the draft, the heaviest first; weights above 0. */
  heads: WeightedHead[];
  /** Of the verifier's own attention in the rows before; may be 0. */
  own: number;
}

/** What stands for the verifier's attention. */
export interface Mixture {
  /** For each verifier layer, for its attention averaged over heads. */
  layers: Combination[];
  /** For each verifier layer and each of its key/value heads, for the attention averaged over the query heads that read it. */
  groups: Combination[][];
  /** About how many rows the running average of own attention looks back: a row's share fades by 1 - 1/ownRows a row. */
  ownRows: number;
  /** Mean Kullback-Leibler divergence in nats of each verifier layer's attention from its combination in `layers`. */
  kl: number[];
  /** How much each verifier layer leaves out where p leaves out 1: its own p is 1 - slack · (1 - p). Undefined: 1 for all. */
  slack?: number[];
}

/** The paper's map: one draft layer a verifier layer. */
export interface KlMap {
  version: 1;
  kind: 'kl';
  /** SHA-256 of each model's configuration: `LlamaConfig.sha256`. */
  draft: {config: string};
  verifier: {config: string};
  /** The draft layer of each verifier layer; never decreasing. */
  layers: number[];
  /** For each verifier layer and each of its heads, a head of its draft layer. */
  heads: number[][];
  /** Mean Kullback-Leibler divergence in nats, [verifier layers][draft layers]. */
  kl: number[][];
  /** What it was calibrated on: rows of attention, and tokens a window of text. */
  text: {rows: number; window: number};
}

/** The paper's map and, found on the same texts and used in its place, a combination of attentions a verifier layer. */
export interface MixtureMap extends Omit<KlMap, 'kind'> {
  kind: 'mixture';
  mixture: Mixture;
}

export type LayerMap = KlMap | MixtureMap;
export const MAP_KINDS = ['kl', 'mixture'] as const satisfies LayerMap['kind'][];

/**
 * Reads a layer map, or takes one as it is, and checks that it is of this pair.
 * @throws Error naming the file, the field, what was expected and what came
 */
export function readLayerMap(source: string | LayerMap, draft: LlamaConfig, verifier: LlamaConfig): LayerMap {
  const file = typeof source === 'string' ? source : 'layerMap';
  const fields = typeof source === 'string' ? Fields.read(source) : new Fields(file, {...source});
  fields.get('version', '1', (value) => value === 1);
  const kinds: readonly unknown[] = MAP_KINDS;
  const kind = fields.get<LayerMap['kind']>('kind', '"kl" or "mixture"', (value) => kinds.includes(value));
  for (const [role, config] of Object.entries({draft, verifier})) {
    const hash = part(fields, role).get<string>('config', 'a text', (value) => typeof value === 'string');
    if (hash !== config.sha256)
      throw new Error(
        `${file}: ${role}.config must be ${short(config.sha256)}, the hash of the ${role}'s configuration, but is ${short(hash)}: the map is of another model`,
      );
  }
  const [layers, draftLayers] = [verifier.numHiddenLayers, draft.numHiddenLayers];
  const below = (n: number) => (value: unknown) =>
    Number.isInteger(value) && (value as number) >= 0 && (value as number) < n;
  const table = (holds: (value: unknown) => boolean, columns: number) => (row: unknown) =>
    Array.isArray(row) && row.length === columns && row.every(holds);
  const rows = <T>(name: string, expected: string, holds: (row: unknown) => boolean) =>
    listOf<T>(fields, name, layers, expected, holds);
  const text = part(fields, 'text');
  const map: KlMap = {
    version: 1,
    kind: 'kl',
    draft: {config: draft.sha256},
    verifier: {config: verifier.sha256},
    layers: rows('layers', `${layers} draft layers below ${draftLayers}`, below(draftLayers)),
    heads: rows(
      'heads',
      `${layers} lists of ${verifier.numAttentionHeads} draft heads below ${draft.numAttentionHeads}`,
      table(below(draft.numAttentionHeads), verifier.numAttentionHeads),
    ),
    kl: rows('kl', `${layers} lists of ${draftLayers} numbers`, table(Number.isFinite, draftLayers)),
    text: {rows: text.whole('rows', 1), window: text.whole('window', 1)},
  };
  if (map.layers.some((layer, i) => i > 0 && layer < map.layers[i - 1]))
    throw fields.error('layers', 'a list that never decreases');
  return kind === 'kl' ? map : {...map, kind, mixture: readMixture(part(fields, 'mixture'), draft, verifier)};
}

/** Weights are kept to a few decimals: their sum is 1 to this. */
const SUM_TOLERANCE = 1e-3;

function readMixture(fields: Fields, draft: LlamaConfig, verifier: LlamaConfig): Mixture {
  const {numHiddenLayers: layers, numKeyValueHeads: kvHeads} = verifier;
  const isBelow = (value: unknown, n: number) =>
    Number.isInteger(value) && (value as number) >= 0 && (value as number) < n;
  const isHead = (value: unknown): value is WeightedHead =>
    Array.isArray(value) &&
    value.length === 3 &&
    isBelow(value[0], draft.numHiddenLayers) &&
    isBelow(value[1], draft.numAttentionHeads) &&
    Number.isFinite(value[2]) &&
    value[2] > 0;
  const isCombination = (value: unknown): boolean => {
    const {heads, own} = (value ?? {}) as Partial<Combination>;
    if (!Array.isArray(heads) || !heads.every(isHead) || !Number.isFinite(own) || own! < 0) return false;
    const places = new Set(heads.map(([layer, head]) => layer * draft.numAttentionHeads + head));
    const sum = heads.reduce((total, [, , weight]) => total + weight, own!);
    return places.size === heads.length && Math.abs(sum - 1) <= SUM_TOLERANCE;
  };
  const combination = `combinations {heads, own} of different [draft layer below ${draft.numHiddenLayers}, head below ${draft.numAttentionHeads}, weight above 0] whose weights and own sum to 1`;
  return {
    layers: listOf(fields, 'layers', layers, `${layers} ${combination}`, isCombination),
    groups: listOf(
      fields,
      'groups',
      layers,
      `${layers} lists of ${kvHeads} ${combination}`,
      (row) => Array.isArray(row) && row.length === kvHeads && row.every(isCombination),
    ),
    ownRows: fields.whole('ownRows', 1),
    kl: listOf(fields, 'kl', layers, `${layers} numbers`, Number.isFinite),
    ...(fields.has('slack') && {
      slack: listOf<number>(fields, 'slack', layers, `${layers} numbers >= 0`, isNotNegative),
    }),
  };
}

function isNotNegative(value: unknown): boolean {
  return Number.isFinite(value) && (value as number) >= 0;
}

function listOf<T>(
  fields: Fields,
  name: string,
  length: number,
  expected: string,
  holds: (element: unknown) => boolean,
): T[] {
  const list = fields.list<T>(name, expected, holds);
  if (list.length !== length) throw fields.error(name, expected);
  return list;
}

function short(hash: string): string {
  return hash.length > 12 ? `${hash.slice(0, 12)}…` : hash;
}

function part(fields: Fields, name: string): Fields {
  const inner = fields.object(name);
  if (!inner) throw fields.error(name, 'an object');
  return inner;
}

/** Writes a layer map that {@link readLayerMap} reads: a field a line. */
export function writeLayerMap(file: string, map: LayerMap): void {
  const lines = Object.entries(map).map(
    ([name, value]) => `  ${JSON.stringify(name)}: ${JSON.stringify(value)}`,
  );
  writeFileSync(file, `{\n${lines.join(',\n')}\n}\n`);
}

/**
 * The map that never decreases with the least total divergence: min Σ_j kl[j][map[j]], map[j] ≤ map[j+1], by dynamic programming over
 * `cost[i] = kl[j][i] + min over i' ≤ i of the cost so far`. Ties go to the lower draft layer.
 *
 * @param kl [verifier layers][draft layers]
 */
export function monotoneMap(kl: number[][]): number[] {
  const draftLayers = kl[0]?.length ?? 0;
  const isTable =
    draftLayers > 0 && kl.every((row) => row.length === draftLayers && row.every(Number.isFinite));
  if (!isTable)
    throw new Error(`[monotoneMap] kl must be a table of finite numbers but is ${JSON.stringify(kl)}`);
  // best[j][i]: the draft layer, i or lower, that verifier layer j takes when the next one takes i.
  const best: number[][] = [];
  let cost = new Array<number>(draftLayers).fill(0);
  for (const row of kl) {
    const total = row.map((divergence, i) => divergence + cost[i]);
    const choice = total.map(() => 0);
    for (let i = 1; i < draftLayers; i++) choice[i] = total[i] < total[choice[i - 1]] ? i : choice[i - 1];
    best.push(choice);
    cost = choice.map((i) => total[i]);
  }
  const map: number[] = [];
  let next = draftLayers - 1;
  for (const choice of best.reverse()) {
    next = choice[next];
    map.unshift(next);
  }
  return map;
}

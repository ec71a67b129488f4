/**
 * The layer map: which attention of the draft predicts that of each verifier layer. `calibrate` writes it to
 * layer_map.json; here it is read, checked and written.
 */
import {writeFileSync} from 'node:fs';

import type {LlamaConfig} from './hf/config.js';
import {Fields} from './hf/json_file.js';

/** A head of the draft and its weight in a combination: [draft layer, head, weight]. */
export type WeightedHead = [layer: number, head: number, weight: number];

/** A convex combination of attention rows: the weights of `heads` and `own` sum to 1. */
export interface Combination {
  /** Heads of the draft with weights above 0, the largest weight first. */
  heads: WeightedHead[];
  /** Weight of the attention history: the running average of what the verifier itself attended to. It may be 0. */
  own: number;
}

/** Combinations that predict the verifier's attention. */
export interface Mixture {
  /** For each verifier layer, the combination that predicts its mean attention over heads. */
  layers: Combination[];
  /**
   * For each verifier layer and each of its KV heads, the combination that predicts the mean over the query heads
   * that read it.
   */
  groups: Combination[][];
  /** Length of the attention history in rows: each further row multiplies a row's share by the decay 1 - 1/ownRows. */
  ownRows: number;
  /** For each verifier layer, the mean of KL(verifier's attention ‖ its combination in `layers`) in nats. */
  kl: number[];
  /** Layer budget: verifier layer j uses 1 - slack[j] · (1 - p) in place of p. Without it all layers use p. */
  slack?: number[];
}

/** The map of the paper (SpecAttn, arXiv 2510.27641): one draft layer for each verifier layer. */
export interface KlMap {
  version: 1;
  kind: 'kl';
  /** `LlamaConfig.sha256` of each model. A map is valid for this pair only. */
  draft: {config: string};
  verifier: {config: string};
  /** For each verifier layer its draft layer; the list never decreases. */
  layers: number[];
  /** For each verifier layer and each of its query heads, a head of its draft layer. */
  heads: number[][];
  /** Mean of KL(verifier layer ‖ draft layer) in nats, [verifier layers][draft layers]. */
  kl: number[][];
  /** Size of the calibration: rows of attention in all, and tokens per window of text. */
  text: {rows: number; window: number};
}

/** The paper's map and, calibrated on the same texts, combinations of heads. Decoding uses the combinations. */
export interface MixtureMap extends Omit<KlMap, 'kind'> {
  kind: 'mixture';
  mixture: Mixture;
}

export type LayerMap = KlMap | MixtureMap;
export const MAP_KINDS = ['kl', 'mixture'] as const satisfies LayerMap['kind'][];

/**
 * Reads a layer map and checks that it is one of this pair.
 * @param source path of a file, or a map, which is checked in the same way
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

/** Weights are rounded to a few decimals, so their sum may differ from 1 by this much. */
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

/** Writes a layer map in the form that {@link readLayerMap} reads, with one line for each field. */
export function writeLayerMap(file: string, map: LayerMap): void {
  const lines = Object.entries(map).map(
    ([name, value]) => `  ${JSON.stringify(name)}: ${JSON.stringify(value)}`,
  );
  writeFileSync(file, `{\n${lines.join(',\n')}\n}\n`);
}

/**
 * The map with the least total divergence among those that never decrease:
 *
 *     min Σ_j kl[j][map[j]]  with  map[j] ≤ map[j + 1]
 *
 * It is found by dynamic programming. Ties go to the lower draft layer.
 *
 * Source: SpecAttn, arXiv 2510.27641.
 *
 * @param kl divergences [verifier layers][draft layers]
 * @returns the draft layer of each verifier layer
 * @throws Error if `kl` is no table of finite numbers
 */
export function monotoneMap(kl: number[][]): number[] {
  const draftLayers = kl[0]?.length ?? 0;
  const isTable =
    draftLayers > 0 && kl.every((row) => row.length === draftLayers && row.every(Number.isFinite));
  if (!isTable)
    throw new Error(`[monotoneMap] kl must be a table of finite numbers but is ${JSON.stringify(kl)}`);
  // best[j][i] is the draft layer that verifier layer j takes if the next verifier layer takes i; it is at most i.
  const best: number[][] = [];
  // cost[i] is the least divergence of all verifier layers so far, if the last one takes at most draft layer i.
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

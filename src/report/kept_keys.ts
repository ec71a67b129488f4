/**
 * Draws which keys of a passage the verifier read: a picture over layers and positions, pictures over rows and
 * positions, and the passage with its words shaded.
 */
import type {Spec} from 'vega';

import type {KeptKeys, KeptSet} from '../evaluate/kept_keys.js';
import {draw} from './draw.js';
import {COLOURS, INK, standalone, type Svg} from './svg.js';
import {grouped, percent, type Figure, type Panel, type Table} from './figure.js';

export const KEPT_KEYS_TITLE = 'What the verifier reads of a passage';

/** At most this many sets have a picture over rows and positions. */
const MOST_SETS = 6;
/** Most columns and pixels of the picture over layers: for a file, over the page's width, in a narrow window. */
const STRIPS = {
  file: {most: 160, width: 640},
  page: {most: 230, width: 920},
  narrow: {most: 80, width: 270},
};
const ROWS_SIDE = 300;

export interface KeptKeysPictures {
  /** Layers over positions: the share of later rows that read the key. */
  layers: Svg;
  /** Rows over positions, one picture for each of the first six sets of layers that read the same keys. */
  rows: Svg[];
}

/**
 * Draws the result of {@link keptKeys} as SVG texts: black on white, for a file or a notebook.
 *
 * ```ts
 * const {layers} = await drawKeptKeys(await keptKeys(lm, text));
 * writeFileSync('kept.svg', layers);
 * ```
 */
export async function drawKeptKeys(kept: KeptKeys): Promise<KeptKeysPictures> {
  const [layers, rows] = [await layersPicture(kept, 'file'), await rowsPictures(kept)];
  return {layers: standalone(layers), rows: rows.map(standalone)};
}

async function rowsPictures(kept: KeptKeys): Promise<Svg[]> {
  const rows: Svg[] = [];
  for (const set of kept.sets.slice(0, MOST_SETS)) rows.push(await rowsPicture(kept, set));
  return rows;
}

/**
 * The figure of a report.
 * @param pair the models' names in words
 */
export async function drawKeptKeysFigure(kept: KeptKeys, pair: string): Promise<Figure> {
  const rows = await rowsPictures(kept);
  const {tokens, first, p, gamma, sinks, recent, sets, kvReduction} = kept;
  const decoded = tokens.length - 1 - first;
  const panels: Panel[] = [
    {
      name: 'kept-keys-layers',
      span: 'page',
      svg: await layersPicture(kept, 'page'),
      narrow: await layersPicture(kept, 'narrow'),
    },
    ...rows.map((svg, i): Panel => ({name: `kept-keys-rows-${sets[i].layers[0]}`, span: 'third', svg})),
  ];
  const table: Table = {
    title: 'Keys read by layer',
    head: ['layers', 'keys not read'],
    rows: [
      [kept.denseLayers.join(', '), percent(0)],
      ...sets.map((set): string[] => [set.layers.join(', '), percent(reduction(kept, set))]),
    ].filter(([name]) => name !== ''),
  };
  const isShared = sets.some((set) => set.layers.length > 1);
  const drawn =
    sets.length > MOST_SETS ? ` The first ${MOST_SETS} of ${sets.length} sets of layers are drawn.` : '';
  return {
    id: 'kept-keys',
    title: KEPT_KEYS_TITLE,
    notes: [
      `A passage of ${grouped(tokens.length)} tokens, of which ${grouped(decoded)} rows were decoded with p = ${p} and γ = ${gamma} (${pair}): ${percent(kvReduction)} of the keys in sparse layers were not read.`,
      `The first picture shows, for each layer and position, the share of later rows (${recent} or more tokens later) that read the key there.`,
      ...(rows.length > 0
        ? [
            `The others show the keys row by row: what is always read (the first ${sinks} keys and the ${recent} most recent ones) is grey, what the draft’s attention chose is blue.${isShared ? ' Layers that are mapped to the same attention of the draft read the same keys.' : ''}${drawn}`,
          ]
        : []),
    ],
    panels,
    tables: [table],
    passage: {
      note: 'The passage itself: the bluer a token’s ground, the more of the later rows read its key, on average over the sparse layers.',
      words: tokens.map((text, key) => ({text, shade: meanShare(kept, key)})),
    },
  };
}

function reduction({first}: KeptKeys, {rows}: KeptSet): number {
  const sum = (numbers: number[]) => numbers.reduce((a, b) => a + b, 0);
  return 1 - sum(rows.map((row) => sum([...row]))) / sum(rows.map((_, r) => first + r + 1));
}

/** The share of rows `recent` tokens or more after the key that read it; undefined where there are no such rows. */
function laterShare({first, recent}: KeptKeys, {rows}: KeptSet, key: number): number | undefined {
  const later = rows.slice(Math.max(0, key + recent - first));
  if (later.length === 0) return undefined;
  return later.reduce((sum, row) => sum + row[key], 0) / later.length;
}

function meanShare(kept: KeptKeys, key: number): number | undefined {
  const shares = kept.sets.map((set) => laterShare(kept, set, key));
  if (shares.length === 0 || shares.includes(undefined)) return undefined;
  const weights = kept.sets.map(({layers}) => layers.length);
  const total = weights.reduce((a, b) => a + b, 0);
  return shares.reduce<number>((sum, share, i) => sum + share! * weights[i], 0) / total;
}

/** Vega's colour scheme `viridis`; scales reverse it so that dark stands for much. */
const RAMP = {scheme: 'viridis'};

function layersPicture(kept: KeptKeys, target: keyof typeof STRIPS): Promise<Svg> {
  const {most, width} = STRIPS[target];
  const {tokens, recent, denseLayers, sets} = kept;
  const layers = [...denseLayers, ...sets.flatMap((set) => set.layers)].sort((a, b) => a - b);
  const step = Math.ceil(tokens.length / most); // positions in a column
  const columns = Math.ceil(tokens.length / step);
  const side = Math.max(1, Math.floor(width / columns));
  const cells = Array.from({length: columns}, (_, column) => {
    const keys = Array.from({length: step}, (_, i) => column * step + i);
    const shareOf = (set: KeptSet) => {
      const shares = keys.flatMap((key) => laterShare(kept, set, key) ?? []);
      return shares.reduce((a, b) => a + b, 0) / shares.length;
    };
    const hasLater = keys[0] + recent < tokens.length - 1;
    return [
      ...denseLayers.map((layer) => ({column, layer, share: 1})),
      ...sets.flatMap((set) => set.layers.map((layer) => ({column, layer, share: shareOf(set)}))),
    ].filter(() => hasLater);
  }).flat();
  const height = layers.length * Math.max(8, Math.min(22, Math.floor(300 / layers.length)));
  const spec: Spec = {
    width: columns * side,
    height,
    padding: 4,
    title: {text: 'Share of later rows that read a key', anchor: 'start', frame: 'group', offset: 8},
    data: [{name: 'cells', values: cells}],
    scales: [
      {name: 'column', type: 'linear', domain: [0, columns], range: 'width', nice: false},
      {name: 'key', type: 'linear', domain: [0, columns * step], range: 'width', nice: false},
      {name: 'layer', type: 'band', domain: layers, range: 'height', paddingInner: 0.12},
      {name: 'share', type: 'linear', domain: [0, 1], range: RAMP, reverse: true},
    ],
    axes: [
      {
        orient: 'bottom',
        scale: 'key',
        title: 'position of the key, tokens',
        domain: false,
        tickCount: target === 'narrow' ? 4 : 8,
      },
      {
        orient: 'left',
        scale: 'layer',
        title: 'verifier layer',
        domain: false,
        ticks: false,
        labelOverlap: true,
      },
    ],
    legends: [
      {
        ...{fill: 'share', title: 'read by', format: '.0%', tickCount: 3},
        ...(target === 'narrow'
          ? {orient: 'bottom', direction: 'horizontal', gradientLength: 200}
          : {gradientLength: Math.min(120, height)}),
      },
    ],
    marks: [
      {
        type: 'rect',
        from: {data: 'cells'},
        encode: {
          enter: {
            x: {scale: 'column', field: 'column'},
            width: {value: side + 0.4}, // wider than a column, so that no gaps show where a page scales the picture
            y: {scale: 'layer', field: 'layer'},
            height: {scale: 'layer', band: 1},
            fill: {scale: 'share', field: 'share'},
          },
        },
      },
    ],
  };
  return draw(spec, {
    title: 'Share of later rows that read a key, by layer and position',
    description: `${layers.length} layers of the verifier over ${tokens.length} positions of the passage. Dense layers read every key.`,
  });
}

function rowsPicture({tokens, first, sinks, recent}: KeptKeys, {layers, rows}: KeptSet): Promise<Svg> {
  const keys = tokens.length;
  const isAlways = (key: number, row: number) => key < sinks || key > first + row - recent;
  const always = (row: number, key: number) => rows[row][key] === 1 && isAlways(key, row);
  const chosen = (row: number, key: number) => rows[row][key] === 1 && !isAlways(key, row);
  const unit = ROWS_SIDE / keys;
  const name = layers.length === 1 ? `Layer ${layers[0]}` : `Layers ${layers.join(', ')}`;
  const cells = (test: (row: number, key: number) => boolean, fill: string) => ({
    type: 'path' as const,
    encode: {
      enter: {
        path: {value: runs(rows.length, keys, test)},
        scaleX: {value: unit},
        scaleY: {value: unit},
        fill: {value: fill},
      },
    },
  });
  const spec: Spec = {
    width: ROWS_SIDE,
    height: rows.length * unit,
    padding: 4,
    title: {text: name, anchor: 'start', frame: 'group', offset: 8},
    scales: [
      {name: 'key', type: 'linear', domain: [0, keys], range: 'width', nice: false},
      {
        name: 'row',
        type: 'linear',
        domain: [first + rows.length, first],
        range: 'height',
        nice: false,
        zero: false,
      },
    ],
    axes: [
      {orient: 'bottom', scale: 'key', title: 'position of the key, tokens', tickCount: 5},
      {orient: 'left', scale: 'row', title: 'position of the row, tokens', tickCount: 5},
    ],
    marks: [
      // The keys that each row could see: those up to its own position.
      {
        type: 'path',
        encode: {
          enter: {
            path: {value: `M0,0h${first + 1}L${first + rows.length},${rows.length}H0Z`},
            scaleX: {value: unit},
            scaleY: {value: unit},
            fill: {value: INK},
            fillOpacity: {value: 0.06},
          },
        },
      },
      cells(always, COLOURS.grey),
      cells(chosen, COLOURS.blue),
    ],
  };
  return draw(spec, {
    title: `${name}: keys read, row by row`,
    description: `${rows.length} rows over ${keys} positions. Grey: always read. Blue: chosen by the draft's attention. Without colour: not read.`,
  });
}

/** An SVG path of unit squares where `test` holds. Consecutive squares of a column are joined. */
function runs(rowCount: number, keys: number, test: (row: number, key: number) => boolean): string {
  let path = '';
  for (let key = 0; key < keys; key++) {
    for (let row = 0; row < rowCount; row++) {
      if (!test(row, key)) continue;
      const from = row;
      while (row < rowCount && test(row, key)) row++;
      path += `M${key},${from}h1v${row - from}h-1Z`;
    }
  }
  return path;
}

/** The figure that compares the time of attention over chosen keys with that over all keys: Figure 4 of the SpecAttn paper. */
import {byDevice} from './devices.js';
import {COLOURS} from './svg.js';
import {
  binary,
  fixed,
  percent,
  significant,
  type Drawn,
  type Figure,
  type Panel,
  type Table,
} from './figure.js';
import {drawPanel, type Axis, type Series} from './lines.js';
import type {CpuBench, GpuBench} from './read.js';

const TITLE = 'Attention over chosen keys (Figure 4)';

/** One measurement of both kinds of attention. */
interface Measured {
  /** The model shape that was measured; each has a panel. */
  shape: string;
  rows: number;
  keys: number;
  /** Share of the keys that is read. */
  share: number;
  /** Microseconds of SparseAttention. */
  us: number;
  /** Microseconds of CausalAttention. */
  denseUs: number;
}

export async function drawAttentionSpeedup(
  bench: CpuBench | undefined,
  gpu: GpuBench | undefined,
): Promise<Drawn> {
  const {found, missing} = byDevice(
    {title: TITLE, kernel: 'SparseAttention'},
    {bench, read: cpuRows},
    {bench: gpu, read: gpuRows},
  );
  const machines: string[] = [];
  const panels: Panel[] = [];
  const tables: Table[] = [];
  const contexts = new Set(found.flatMap(({measured}) => measured.map(({keys}) => keys)));
  const notes = [
    `How many times as fast attention of one layer over the chosen keys (SparseAttention) is as attention over all keys (CausalAttention), for a block of drafted rows, by the share of keys that is left out${contexts.size > 1 ? ', for several lengths of context' : ''}. The dashed line is what memory allows: time in proportion to the keys read.`,
  ];
  const count = found.reduce((sum, {measured}) => sum + new Set(measured.map(({shape}) => shape)).size, 0);
  for (const {device, machine, measured} of found) {
    for (const shape of [...new Set(measured.map((one) => one.shape))])
      panels.push(
        await panel(
          device,
          shape,
          measured.filter((one) => one.shape === shape),
          count > 1 ? 'half' : 'page',
        ),
      );
    tables.push(...tablesOf(device, measured));
    machines.push(`${device}: ${machine}.`);
  }
  if (panels.length === 0) return {missing};
  const figure: Figure = {
    id: 'attention-speedup',
    title: TITLE,
    notes: [...notes, machines.join(' ')],
    panels,
    tables,
  };
  return {figure, missing};
}

/** Measurements of blocks of several rows, as verification has them. */
function cpuRows({kernels}: CpuBench): Measured[] {
  const dense = new Map<string, number>();
  for (const {kernel, shape, us} of kernels) if (kernel === 'CausalAttention') dense.set(shape, us);
  return kernels.flatMap(({kernel, shape, us}) => {
    const sizes = kernel === 'SparseAttention' && /^(\d+) rows, (\d+)% of (\d+) keys$/.exec(shape);
    if (!sizes || sizes[1] === '1') return [];
    const denseUs = dense.get(`${sizes[1]} rows, ${sizes[3]} keys`);
    if (denseUs === undefined) return [];
    const [rows, share, keys] = [Number(sizes[1]), Number(sizes[2]) / 100, Number(sizes[3])];
    return [{shape: 'embedded verifier', rows, keys, share, us, denseUs}];
  });
}

function gpuRows({rows}: GpuBench): Measured[] {
  const times = new Map(rows.map(({id, us}) => [id, us]));
  return rows.flatMap(({id, us}) => {
    const parts = /^attention\/(.+)\/sparse (\d+)%\/(\d+)x(\d+)$/.exec(id);
    if (!parts) return [];
    const [, shape, share, count, keys] = parts;
    const denseUs = times.get(`attention/${shape}/dense/${count}x${keys}`);
    if (denseUs === undefined) return [];
    return [{shape, rows: Number(count), keys: Number(keys), share: Number(share) / 100, us, denseUs}];
  });
}

/** Ends of the vertical axis; the lower end moves down where something is slower. */
const [SLOWEST, FASTEST] = [0.5, 20];

function panel(device: string, shape: string, measured: Measured[], span: 'page' | 'half'): Promise<Panel> {
  const colours = [COLOURS.sky, COLOURS.blue, COLOURS.green, COLOURS.vermilion, COLOURS.pink];
  const contexts = [...new Set(measured.map(({keys}) => keys))].sort((a, b) => a - b);
  const series: Series[] = contexts.map((context, i) => ({
    name: `${binary(context)} keys`,
    colour: colours[i % colours.length],
    points: measured
      .filter(({keys}) => keys === context)
      .map(({share, us, denseUs}) => ({x: 1 - share, y: denseUs / us}))
      .sort((a, b) => a.x - b.x),
  }));
  const most = Math.max(...measured.map(({share}) => 1 - share));
  const bound = Array.from({length: 41}, (_, i) => ({x: (most * i) / 40, y: 1 / (1 - (most * i) / 40)}));
  const slowest = Math.min(SLOWEST, ...measured.map(({us, denseUs}) => (0.9 * denseUs) / us));
  const x: Axis = {
    title: 'keys left out',
    scale: 'linear',
    domain: [0, 1],
    ticks: [0, 0.25, 0.5, 0.75, 1],
    format: 'percent',
  };
  const y: Axis = {
    title: 'times as fast as dense',
    scale: 'log',
    domain: [slowest, FASTEST * 1.1],
    ticks: [0.5, 1, 2, 5, 10, 20],
    format: 'times',
  };
  const chart = {
    title: `${device}, ${shape}`,
    description: `Times as fast as dense attention against the share of keys left out, for contexts of ${contexts.map(binary).join(', ')} keys. The table has the numbers.`,
    x,
    y,
    series: [
      {name: 'memory’s bound', colour: COLOURS.grey, dashed: true, bare: true, points: bound},
      ...series,
    ],
    reference: {y: 1, name: 'dense'},
    margin: 110,
  };
  const name = `attention-speedup-${device}-${shape}`.toLowerCase().replace(/[^a-z0-9.]+/g, '-');
  return drawPanel(name, chart, span);
}

function tablesOf(device: string, measured: Measured[]): Table[] {
  const shapes = [...new Set(measured.map(({shape}) => shape))];
  return shapes.map((shape) => {
    const ofShape = measured.filter((one) => one.shape === shape);
    const contexts = [...new Set(ofShape.map(({keys}) => keys))].sort((a, b) => a - b);
    const shares = [...new Set(ofShape.map(({share}) => share))].sort((a, b) => b - a);
    const cell = (keys: number, share: number) => {
      const found = ofShape.find((one) => one.keys === keys && one.share === share);
      return found ? `${significant(found.us)} (${fixed(found.denseUs / found.us, 2)} ×)` : '';
    };
    const rows = contexts.map((keys) => [
      binary(keys),
      significant(ofShape.find((one) => one.keys === keys)!.denseUs),
      ...shares.map((share) => cell(keys, share)),
    ]);
    const [{rows: count}] = ofShape;
    return {
      title: `${device}, ${shape}, ${count} rows: µs, and times as fast as dense, by the share of keys read`,
      head: ['keys', 'dense', ...shares.map((share) => percent(share, 0))],
      rows,
    };
  });
}

/** The figure of the time to find a nucleus, beside the time of a sort: Figure 3 of the SpecAttn paper. */
import {byDevice} from './devices.js';
import {COLOURS} from './svg.js';
import {binary, significant, type Drawn, type Figure, type Panel, type Table} from './figure.js';
import {logarithmic} from './axes.js';
import {drawPanel, type Series} from './lines.js';
import type {CpuBench, GpuBench} from './read.js';

const TITLE = 'Time to choose keys (Figure 3)';

interface Timed {
  /** The kernel, or the peer that others measured. */
  who: string;
  rows: number;
  keys: number;
  us: number;
}

export async function drawMaskTime(bench: CpuBench | undefined, gpu: GpuBench | undefined): Promise<Drawn> {
  const {found, missing} = byDevice(
    {title: TITLE, kernel: 'NucleusMask'},
    {bench, read: cpuTimes},
    {bench: gpu, read: gpuTimes},
  );
  const machines: string[] = [];
  const panels: Panel[] = [];
  const tables: Table[] = [];
  const all = found.flatMap(({measured}) => measured);
  const besides = all.some(({who}) => /sort/i.test(who)) ? ', beside a sort of the same weights alone' : '';
  const notes = [
    `Microseconds to find the smallest set of keys that holds 95% of the attention in each row (NucleusMask, without sorting)${besides}. Both axes are logarithmic.`,
  ];
  const count = found.reduce((sum, {measured}) => sum + new Set(measured.map(({rows}) => rows)).size, 0);
  for (const {device, machine, measured: times} of found) {
    for (const rows of [...new Set(times.map((time) => time.rows))])
      panels.push(
        await panel(
          device,
          rows,
          times.filter((time) => time.rows === rows),
          count > 1 ? 'half' : 'page',
        ),
      );
    tables.push(table(device, times));
    machines.push(`${device}: ${machine}.`);
  }
  if (panels.length === 0) return {missing};
  if (gpu?.peers) machines.push(`Others’ times on a GPU: ${gpu.peers}.`);
  const figure: Figure = {
    id: 'mask-time',
    title: TITLE,
    notes: [...notes, machines.join(' ')],
    panels,
    tables,
  };
  return {figure, missing};
}

function cpuTimes({kernels}: CpuBench): Timed[] {
  return kernels.flatMap(({kernel, shape, us}) => {
    const sizes = /^(\d+) x (\d+) weights$/.exec(shape);
    return sizes ? [{who: kernel, rows: Number(sizes[1]), keys: Number(sizes[2]), us}] : [];
  });
}

function gpuTimes({rows}: GpuBench): Timed[] {
  return rows.flatMap(({id, us, peerUs}) => {
    const sizes = /^mask\/(\d+)x(\d+)$/.exec(id);
    if (!sizes) return [];
    const size = {rows: Number(sizes[1]), keys: Number(sizes[2])};
    const peers = Object.entries(peerUs ?? {}).map(([who, time]) => ({who, ...size, us: time}));
    return [{who: 'NucleusMask', ...size, us}, ...peers];
  });
}

function panel(device: string, rows: number, times: Timed[], span: 'page' | 'half'): Promise<Panel> {
  const colours = [COLOURS.blue, COLOURS.vermilion, COLOURS.green, COLOURS.pink];
  const names = [...new Set(times.map(({who}) => who))];
  const series: Series[] = names.map((name, i) => ({
    // A peer's name is like `torch.sort in a CUDA graph`; its first word is enough beside the line.
    name: name.split(' ')[0],
    colour: colours[i % colours.length],
    points: times
      .filter(({who}) => who === name)
      .map(({keys, us}) => ({x: keys, y: us}))
      .sort((a, b) => a.x - b.x),
  }));
  const keys = [...new Set(times.map((time) => time.keys))].sort((a, b) => a - b);
  const y = logarithmic(
    times.map(({us}) => us),
    1.4,
  );
  const what = rows === 1 ? '1 row' : `${rows} rows`;
  const chart = {
    title: `${device}, ${what}`,
    description: `Microseconds against the number of keys, for ${names.join('; ')}. The table has the numbers.`,
    x: {
      title: 'keys of a row',
      scale: 'log',
      domain: [keys[0] / 1.2, keys[keys.length - 1] * 1.2] as [number, number],
      ticks: keys,
      format: 'binary',
    } as const,
    y: {title: 'µs', scale: 'log', ...y} as const,
    series,
    margin: 135,
  };
  return drawPanel(`mask-time-${device.toLowerCase()}-${rows}`, chart, span);
}

function table(device: string, times: Timed[]): Table {
  const names = [...new Set(times.map(({who}) => who))];
  const sizes = [...new Set(times.map(({rows, keys}) => `${rows} × ${binary(keys)}`))];
  const rows = sizes.map((size) => [
    size,
    ...names.map((name) =>
      significant(
        times.find(({who, rows, keys}) => who === name && `${rows} × ${binary(keys)}` === size)?.us,
      ),
    ),
  ]);
  return {title: `${device}, µs`, head: ['rows × keys', ...names], rows};
}

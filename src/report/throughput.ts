/** The figure of speed end to end: tokens a second by context on a CPU, and milliseconds a round by context on a GPU. */
import {COLOURS} from './svg.js';
import {
  binary,
  fixed,
  grouped,
  percent,
  significant,
  type Drawn,
  type Figure,
  type Missing,
  type Panel,
  type Table,
} from './figure.js';
import {fromZero} from './axes.js';
import {drawPanel, type Series} from './lines.js';
import type {CpuBench, Decoded, GpuBench} from './read.js';

const TITLE = 'End to end, by context';
const COMMANDS = {
  cpu: 'npm run --silent bench -- --contexts 256,1024,2048,3500 > DIR/bench.json # in a clone',
  gpu: 'npm run --silent bench:gpu > DIR/bench-gpu.json # in a clone',
};

const PHASES = ['draft', 'select', 'verify', 'accept'] as const;

interface Round {
  /** How the verifier reads its cache, such as `dense`. */
  kind: string;
  context: number;
  ms: number;
  /** Milliseconds of each phase that the bench measured. */
  phases: Partial<Record<(typeof PHASES)[number], number>>;
}

export async function drawThroughput(bench: CpuBench | undefined, gpu: GpuBench | undefined): Promise<Drawn> {
  const missing: Missing[] = [];
  const panels: Panel[] = [];
  const tables: Table[] = [];
  const notes: string[] = [];
  const decoded = bench?.decode ?? [];
  const rounds = gpu ? roundsOf(gpu) : [];
  if (new Set(decoded.map(({context}) => context)).size > 1) {
    panels.push(await tokensPanel(decoded, rounds.length > 0 ? 'half' : 'page'));
    tables.push(...tokensTables(decoded));
    notes.push(explainTokens(decoded), `CPU: ${bench!.machine}.`);
  } else {
    const reason = bench ? 'bench.json has tokens/s at fewer than two contexts' : 'there is no bench.json';
    missing.push({figure: `${TITLE}, on a CPU`, reason, command: COMMANDS.cpu});
  }
  if (rounds.length > 0) {
    panels.push(await roundsPanel(rounds, panels.length > 0 ? 'half' : 'page'));
    tables.push(roundsTable(rounds));
    notes.push(
      `On the GPU, milliseconds of a whole round (four drafted tokens, choosing keys, one verification) with models of random weights, whose acceptance says nothing: the fewer, the more tokens a second at any acceptance.${rounds.some(({kind}) => kind.startsWith('sparse')) ? ' Sparse: the share of keys that is read in sparse layers.' : ''}`,
      `GPU: ${gpu!.machine}.`,
    );
  } else {
    const reason = gpu ? 'bench-gpu.json has no rounds' : 'there is no bench-gpu.json';
    missing.push({figure: `${TITLE}, on a GPU`, reason, command: COMMANDS.gpu});
  }
  if (panels.length === 0) return {missing};
  const figure: Figure = {id: 'throughput', title: TITLE, notes, panels, tables};
  return {figure, missing};
}

const MODE_COLOURS = [
  COLOURS.grey,
  COLOURS.vermilion,
  COLOURS.blue,
  COLOURS.green,
  COLOURS.pink,
  COLOURS.orange,
];

/** Whether a measurement is drawn: those with a gamma other than 4 are only in the table. */
function isDrawn({mode}: Decoded): boolean {
  return !/gamma (?!4$)/.test(mode);
}

/** Says what the modes are that were measured. */
function explainTokens(decoded: Decoded[]): string {
  const has = (pattern: RegExp) => decoded.some(({mode}) => pattern.test(mode));
  const modes = [
    ...(has(/^plain/) ? ['the verifier alone'] : []),
    ...(has(/^dense/) ? ['with a draft and dense verification (the same text)'] : []),
    ...(has(/^sparse/) ? ['with sparse verification, choosing keys included'] : []),
  ];
  const what = 'Tokens a second of the embedded pair by the length of the prompt';
  return modes.length > 0 ? `${what}: ${modes.join('; ')}.` : `${what}.`;
}

async function tokensPanel(decoded: Decoded[], span: 'page' | 'half'): Promise<Panel> {
  const drawn = decoded.some(isDrawn) ? decoded.filter(isDrawn) : decoded;
  const modes = [...new Set(drawn.map(({mode}) => mode))];
  const series: Series[] = modes.map((mode, i) => ({
    name: mode.replace(', gamma 4', ', γ 4'),
    colour: MODE_COLOURS[i % MODE_COLOURS.length],
    points: drawn
      .filter((row) => row.mode === mode)
      .map(({context, tokensPerSecond}) => ({x: context, y: tokensPerSecond}))
      .sort((a, b) => a.x - b.x),
  }));
  const chart = {
    title: 'CPU, the embedded pair',
    description: `Tokens a second against the tokens of the prompt, for ${modes.join('; ')}. The table has the numbers.`,
    x: contextAxis(drawn.map(({context}) => context)),
    y: {
      title: 'tokens a second',
      scale: 'linear',
      domain: fromZero(drawn.map(({tokensPerSecond}) => tokensPerSecond)),
    } as const,
    series,
    margin: 130,
  };
  return drawPanel('throughput-cpu', chart, span);
}

function contextAxis(contexts: number[]) {
  const ticks = [...new Set(contexts)].sort((a, b) => a - b);
  const domain: [number, number] = [ticks[0] / 1.15, ticks[ticks.length - 1] * 1.15];
  return {title: 'tokens of context (logarithmic)', scale: 'log', domain, ticks, format: 'binary'} as const;
}

function tokensTables(decoded: Decoded[]): Table[] {
  const contexts = [...new Set(decoded.map(({context}) => context))].sort((a, b) => a - b);
  const modes = [...new Set(decoded.map(({mode}) => mode))];
  const table = (title: string, cell: (row: Decoded) => string): Table => ({
    title,
    head: ['tokens of context', ...contexts.map(grouped)],
    rows: modes.map((mode) => [
      mode,
      ...contexts.map((context) => {
        const row = decoded.find((one) => one.mode === mode && one.context === context);
        return row ? cell(row) : '';
      }),
    ]),
  });
  const times = (row: Decoded) => (row.timesPlain === undefined ? '' : ` (${fixed(row.timesPlain, 2)} ×)`);
  return [
    table(
      'CPU, tokens a second (against plain)',
      (row) => `${significant(row.tokensPerSecond)}${times(row)}`,
    ),
    table('CPU, drafts accepted, keys of sparse layers not read', ({acceptance, kvReduction}) =>
      [percent(acceptance, 0), percent(kvReduction, 0)].join(', '),
    ),
  ];
}

function roundsOf({rows}: GpuBench): Round[] {
  return rows.flatMap(({id, us, ...extra}) => {
    const parts = /^round\/(.+)\/(\d+)$/.exec(id);
    if (!parts) return [];
    const phases: Round['phases'] = {};
    for (const phase of PHASES) {
      const time = extra[`${phase} µs`];
      if (typeof time === 'number') phases[phase] = time / 1000;
    }
    return [{kind: parts[1], context: Number(parts[2]), ms: us / 1000, phases}];
  });
}

async function roundsPanel(rounds: Round[], span: 'page' | 'half'): Promise<Panel> {
  const kinds = [...new Set(rounds.map(({kind}) => kind))];
  const colours = [COLOURS.vermilion, COLOURS.blue, COLOURS.green, COLOURS.pink];
  const series: Series[] = kinds.map((kind, i) => ({
    name: kind,
    colour: colours[i % colours.length],
    points: rounds
      .filter((round) => round.kind === kind)
      .map(({context, ms}) => ({x: context, y: ms}))
      .sort((a, b) => a.x - b.x),
  }));
  const chart = {
    title: 'GPU, a round of γ = 4',
    description: `Milliseconds a round against the context, for ${kinds.join('; ')}. The table has the numbers.`,
    x: contextAxis(rounds.map(({context}) => context)),
    y: {title: 'ms a round', scale: 'linear', domain: fromZero(rounds.map(({ms}) => ms))} as const,
    series,
    margin: 90,
  };
  return drawPanel('throughput-gpu', chart, span);
}

function roundsTable(rounds: Round[]): Table {
  const dense = new Map(rounds.filter(({kind}) => kind === 'dense').map(({context, ms}) => [context, ms]));
  const rows = rounds.map(({kind, context, ms, phases}) => [
    kind,
    binary(context),
    fixed(ms, 2),
    ...PHASES.map((phase) => fixed(phases[phase], 2)),
    dense.has(context) ? `${fixed(dense.get(context)! / ms, 2)} ×` : '',
  ]);
  const head = ['verification', 'context', 'all', ...PHASES, 'faster than dense'];
  return {title: 'GPU, ms a round', head, rows};
}

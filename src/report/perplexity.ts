/** The figure of perplexity against the share of keys that a method does not read: Figure 5 of the SpecAttn paper, and its table. */
import {COLOURS} from './svg.js';
import {
  fileName,
  fixed,
  grouped,
  percent,
  signedPercent,
  type Drawn,
  type Figure,
  type Panel,
  type Table,
} from './figure.js';
import {around, logarithmic} from './axes.js';
import {drawPanel, type Axis, type Point, type Series} from './lines.js';
import type {Result, Run} from './read.js';

const COMMAND =
  'npx specattn evaluate --texts books --method dense specattn:p=0.8 specattn:p=0.9 specattn:p=0.95 specattn:p=0.99 quest:budget=256 streaming:budget=256 oracle:p=0.95 random:budget=256 --out DIR';

const METHOD_COLOURS: Record<string, string> = {
  specattn: COLOURS.blue,
  quest: COLOURS.vermilion,
  streaming: COLOURS.green,
  random: COLOURS.pink,
  oracle: COLOURS.grey,
};
/** The options that are swept: results of a method that differ only in these are joined to a line. */
const SWEPT = ['p', 'budget'];
/** Where the largest perplexity is more than this many times the smallest, the axis is logarithmic. */
const WIDE = 2.5;

export async function drawPerplexity(all: readonly Run[]): Promise<Drawn> {
  const runs = all.filter(({results}) => results.length > 0);
  const title = 'Perplexity against keys read (Figure 5)';
  if (runs.length === 0)
    return {missing: [{figure: title, reason: 'there is no results.jsonl', command: COMMAND}]};
  const panels: Panel[] = [];
  for (const run of runs) panels.push(...(await panelsOf(run, runs.length > 1)));
  const figure: Figure = {
    id: 'perplexity',
    title,
    notes: [explain(runs.flatMap(({results}) => results))],
    panels,
    tables: runs.map((run) => tableOf(run)),
  };
  return {figure, missing: []};
}

/** Says what the picture shows, and nothing that it does not show. */
function explain(results: readonly Result[]): string {
  const parsed = results.map(({method}) => parse(method));
  const isLine = parsed.some(
    (one, i) =>
      one.swept !== '' &&
      parsed.some(
        (other, j) =>
          j < i && other.kind === one.kind && other.others === one.others && other.swept !== one.swept,
      ),
  );
  const hasBars = results.some(({changeError}) => changeError);
  const hasOracle = parsed.some(({kind}) => kind === 'oracle');
  return [
    'Perplexity of the verifier over held-out text against the share of keys that decoded rows of the sparse layers did not read. Lower and further right is better.',
    ...(isLine
      ? ['A line joins one method at several settings of p or of its budget, which stand at the points.']
      : []),
    ...(hasBars ? ['Bars are the standard error over windows of the distance from dense attention.'] : []),
    ...(hasOracle
      ? ['The oracle computes the verifier’s own attention over all keys to choose: a bound, not a method.']
      : []),
  ].join(' ');
}

/** Splits a method: `specattn:p=0.9,map=kl` is of kind `specattn`, swept to `p 0.9`, with other options `map=kl`. */
function parse(method: string): {kind: string; swept: string; others: string} {
  const colon = method.indexOf(':');
  const kind = colon < 0 ? method : method.slice(0, colon);
  const options = colon < 0 ? [] : method.slice(colon + 1).split(',');
  const isSwept = (option: string) => SWEPT.includes(option.split('=')[0]);
  const swept = options.filter(isSwept).map((option) => option.replace('=', ' '));
  return {kind, swept: swept.join(' '), others: options.filter((option) => !isSwept(option)).join(', ')};
}

async function panelsOf({name, results}: Run, several: boolean): Promise<Panel[]> {
  const dense = results.find(({method}) => parse(method).kind === 'dense');
  const series = seriesOf(
    results.filter((result) => result !== dense),
    dense?.perplexity,
  );
  if (series.length === 0) return [];
  const reach = ({y, error = 0}: Point) => [y - error, y + error];
  const values = [
    ...series.flatMap(({points}) => points.flatMap(reach)),
    ...(dense ? [dense.perplexity] : []),
  ];
  const isWide = Math.max(...values) > WIDE * Math.min(...values);
  const y: Axis = isWide
    ? {title: 'perplexity (logarithmic)', scale: 'log', ...logarithmic(values)}
    : {title: 'perplexity', scale: 'linear', domain: around(values)};
  const x: Axis = {
    title: 'keys of the sparse layers not read',
    scale: 'linear',
    domain: [0, 1],
    ticks: [0, 0.2, 0.4, 0.6, 0.8, 1],
    format: 'percent',
  };
  const chart = {
    title: `Perplexity${several ? `, ${name || 'this folder'}` : ''}`,
    description: `Perplexity against the share of keys not read, for ${series.map((one) => one.name).join('; ')}. The table has the numbers.`,
    x,
    y,
    series,
    reference: dense && {y: dense.perplexity, name: 'dense'},
    margin: 140,
  };
  const file = name ? `perplexity-${fileName(name)}` : 'perplexity';
  return [await drawPanel(file, chart, several ? 'half' : 'page')];
}

function seriesOf(results: readonly Result[], dense: number | undefined): Series[] {
  const series = new Map<string, Series>();
  for (const result of results) {
    const {kind, swept, others} = parse(result.method);
    const name = others ? `${kind}, ${others}` : kind;
    const points: Point[] = series.get(name)?.points ?? [];
    const {changeError} = result;
    const error = changeError !== undefined && dense !== undefined ? changeError * dense : undefined;
    points.push({x: result.kvReduction, y: result.perplexity, error, label: swept.replace('budget ', '')});
    series.set(name, {
      name,
      points,
      colour: METHOD_COLOURS[kind] ?? COLOURS.orange,
      dashed: kind === 'oracle',
    });
  }
  const all = [...series.values()];
  const taken = new Map<string, number>();
  return all.map((one) => {
    const times = taken.get(one.colour) ?? 0;
    taken.set(one.colour, times + 1);
    const points = one.points.sort((a, b) => a.x - b.x);
    // Lines of the same method with other options have the same colour; every second one is dashed.
    return {...one, points, dashed: one.dashed || times % 2 === 1};
  });
}

function tableOf({name, results}: Run): Table {
  const head = [
    'method',
    'perplexity',
    'change',
    '±',
    'keys not read',
    'in all layers',
    'bytes not read',
    'same token',
    'windows',
    'tokens',
  ];
  const rows = results.map((result) => [
    result.method,
    fixed(result.perplexity, 3),
    signedPercent(result.change),
    result.changeError ? percent(result.changeError, 2) : '',
    percent(result.kvReduction),
    percent(result.kvReductionAll),
    percent(result.bytesReduction),
    percent(result.agreement),
    result.windows === undefined ? '' : grouped(result.windows),
    result.tokens === undefined ? '' : grouped(result.tokens),
  ]);
  // A column that no result has, such as ± where each method has one window, is left out.
  const isShown = head.map((_, i) => rows.some((row) => row[i] !== ''));
  const shown = (row: string[]) => row.filter((_, i) => isShown[i]);
  return {title: name || 'results.jsonl', head: shown(head), rows: rows.map(shown)};
}

/** The figure of passkeys found with each method, by the length of the text and the depth of the passkey in it. */
import type {TopLevelSpec} from 'vega-lite';

import {drawLite} from './draw.js';
import {FONT_SIZE, shorten, shortenTitle} from './svg.js';
import {fileName, grouped, percent, type Drawn, type Figure, type Panel, type Table} from './figure.js';
import type {Passkey, Run} from './read.js';

/** Size of a cell in pixels. */
const [WIDTH, HEIGHT] = [58, 24];
/** Pixels that a picture's title may take even where the picture is narrower. */
const LEAST_WIDTH = 230;
/** Cells with a greater share are so dark that their text is white. */
const DARK = 0.55;

/** The results of one method with one kind of passkey. */
interface Group {
  method: string;
  key: string;
  passkeys: Passkey[];
}

export async function drawPasskeys(all: readonly Run[]): Promise<Drawn> {
  const runs = all.filter(({passkeys}) => passkeys.length > 0);
  if (runs.length === 0) return {missing: []};
  const panels: Panel[] = [];
  for (const {name, passkeys} of runs)
    for (const [i, group] of groupsOf(passkeys).entries())
      panels.push(await panel(group, ['passkeys', name, group.key, i + 1]));
  const figure: Figure = {
    id: 'passkeys',
    title: 'Keys found again in long texts',
    notes: [
      'A text tells a passkey at some depth and asks for it at its end. The text is read densely; question and answer are decoded with each method. A cell shows how many of the passkeys were found: a passkey is found if every token of the answer was the likeliest.',
    ],
    panels,
    tables: runs.map(({name, passkeys}) => tableOf(name || 'passkey.jsonl', passkeys)),
  };
  return {figure, missing: []};
}

function groupsOf(passkeys: readonly Passkey[]): Group[] {
  const groups = new Map<string, Group>();
  for (const passkey of passkeys) {
    const {method, key} = passkey;
    const name = JSON.stringify([key, method]);
    const group = groups.get(name) ?? {method, key, passkeys: []};
    groups.set(name, group);
    // Where there are several results for a cell, the last one counts.
    const before = group.passkeys.findIndex(
      ({length, depth}) => length === passkey.length && depth === passkey.depth,
    );
    if (before >= 0) group.passkeys[before] = passkey;
    else group.passkeys.push(passkey);
  }
  return [...groups.values()].sort((a, b) => (a.key < b.key ? -1 : Number(a.key > b.key)));
}

const ascending = (values: number[]) => [...new Set(values)].sort((a, b) => a - b);

async function panel({method, key, passkeys}: Group, name: (string | number)[]): Promise<Panel> {
  const lengths = ascending(passkeys.map(({length}) => length));
  const depths = ascending(passkeys.map(({depth}) => depth));
  const values = passkeys.map(({length, depth, correct, total}) => ({
    length: grouped(length),
    depth: percent(depth, 0),
    share: correct / total,
    found: `${correct} of ${total}`,
    ink: correct / total > DARK ? 'white' : 'black',
  }));
  const width = Math.max(LEAST_WIDTH, lengths.length * WIDTH);
  const spec = {
    width: lengths.length * WIDTH,
    height: depths.length * HEIGHT,
    padding: 4,
    title: {
      ...{text: shortenTitle(method, width), subtitle: shorten(key, width)},
      ...{anchor: 'start', frame: 'bounds', offset: 8},
    },
    data: {values},
    encoding: {
      x: {
        ...{field: 'length', type: 'ordinal', sort: lengths.map(grouped)},
        axis: {title: 'tokens', labelAngle: 0, domain: false, ticks: false},
      },
      y: {
        ...{field: 'depth', type: 'ordinal', sort: depths.map((depth) => percent(depth, 0))},
        axis: {title: 'depth of the key', domain: false, ticks: false},
      },
    },
    layer: [
      {
        mark: 'rect',
        encoding: {
          color: {
            ...{field: 'share', type: 'quantitative', legend: null},
            scale: {domain: [0, 1], scheme: 'viridis', reverse: true},
          },
        },
      },
      {
        mark: {type: 'text', fontSize: FONT_SIZE, color: {expr: 'datum.ink'}},
        encoding: {text: {field: 'found', type: 'nominal'}},
      },
    ],
  };
  const svg = await drawLite(spec as unknown as TopLevelSpec, {
    title: `${method}: ${key} found`,
    description: `Keys found by ${method}, by tokens of the text (columns) and depth of the key (rows). The table has the numbers.`,
  });
  return {
    name: name
      .filter((part) => part !== '')
      .map(String)
      .map(fileName)
      .join('-'),
    svg,
  };
}

function tableOf(title: string, passkeys: readonly Passkey[]): Table {
  const depths = ascending(passkeys.map(({depth}) => depth));
  const rows = groupsOf(passkeys).flatMap(({method, key, passkeys}) =>
    ascending(passkeys.map(({length}) => length)).map((length) => {
      const ofLength = passkeys.filter((one) => one.length === length);
      const sum = (name: 'correct' | 'total') => ofLength.reduce((total, one) => total + one[name], 0);
      const at = (depth: number) => {
        const found = ofLength.find((one) => one.depth === depth);
        return found ? `${found.correct} of ${found.total}` : '';
      };
      return [method, key, grouped(length), ...depths.map(at), percent(sum('correct') / sum('total'), 0)];
    }),
  );
  const head = ['method', 'key', 'tokens', ...depths.map((depth) => `at ${percent(depth, 0)}`), 'found'];
  return {title, head, rows};
}

import {expect} from 'chai';
import * as fc from 'fast-check';
import * as fs from 'node:fs';
import * as path from 'node:path';

import {readConfig} from '../../models/hf/config.js';
import {
  monotoneMap,
  readLayerMap,
  writeLayerMap,
  type Combination,
  type KlMap,
  type LayerMap,
  type MixtureMap,
} from '../../models/layer_map.js';
import {testFolder} from './folder.js';
import {PRETRAINED} from './golden.js';

const draft = readConfig(path.join(PRETRAINED, 'draft'));
const verifier = readConfig(path.join(PRETRAINED, 'verifier'));
const map: KlMap = {
  version: 1,
  kind: 'kl',
  draft: {config: draft.sha256},
  verifier: {config: verifier.sha256},
  layers: [0, 0, 1, 1, 2, 3, 3, 3],
  heads: Array.from({length: 8}, (_, i) => [0, 1, 2, 3, i % 5]),
  kl: Array.from({length: 8}, (_, j) => Array.from({length: 4}, (_, i) => j / 4 + i)),
  text: {rows: 100, window: 512},
};

const halves: Combination = {
  heads: [
    [0, 4, 0.5004],
    [3, 0, 0.25],
  ],
  own: 0.2499,
};
const mixed: MixtureMap = {
  ...map,
  kind: 'mixture',
  mixture: {
    layers: Array.from({length: 8}, () => halves),
    groups: Array.from({length: 8}, () =>
      Array.from({length: 5}, (_, i) => (i ? halves : {heads: [[2, i, 1]], own: 0})),
    ),
    ownRows: 8,
    kl: Array.from({length: 8}, (_, i) => i / 8),
    slack: Array.from({length: 8}, (_, i) => i / 4),
  },
};

/** All non-decreasing maps, the lowest first. */
function* allMaps(layers: number, draftLayers: number, from = 0): Generator<number[]> {
  if (layers === 0) return yield [];
  for (let i = from; i < draftLayers; i++)
    for (const rest of allMaps(layers - 1, draftLayers, i)) yield [i, ...rest];
}

describe('monotoneMap', () => {
  const tables = fc
    .tuple(fc.integer({min: 1, max: 6}), fc.integer({min: 1, max: 4}))
    .chain(([rows, columns]) =>
      // With small integers sums are exact and ties are common.
      fc.array(fc.array(fc.integer({min: 0, max: 5}), {minLength: columns, maxLength: columns}), {
        minLength: rows,
        maxLength: rows,
      }),
    );

  it('is the cheapest of all non-decreasing maps', () => {
    fc.assert(
      fc.property(tables, (kl) => {
        const cost = (candidate: number[]) => candidate.reduce((sum, i, j) => sum + kl[j][i], 0);
        const found = monotoneMap(kl);
        const best = Math.min(...[...allMaps(kl.length, kl[0].length)].map(cost));
        expect(cost(found)).to.equal(best);
        // The lowest of several cheapest maps is taken, layer by layer.
        const cheapest = [...allMaps(kl.length, kl[0].length)].filter(
          (candidate) => cost(candidate) === best,
        );
        expect(found).to.deep.equal(
          found.map((_, j) => Math.min(...cheapest.map((candidate) => candidate[j]))),
        );
      }),
    );
  });

  it('refuses an invalid table', () => {
    for (const kl of [[], [[]], [[1, 2], [1]], [[NaN]]])
      expect(() => monotoneMap(kl)).to.throw('[monotoneMap] kl must be a table of finite numbers');
  });
});

describe('layer_map.json', () => {
  const file = () => path.join(testFolder(), 'layer_map.json');

  it('is read as it was written', () => {
    writeLayerMap(file(), map);
    expect(readLayerMap(file(), draft, verifier)).to.deep.equal(map);
    writeLayerMap(file(), mixed);
    expect(readLayerMap(file(), draft, verifier)).to.deep.equal(mixed);
    expect(readLayerMap(mixed, draft, verifier)).to.deep.equal(mixed);
  });

  const mixture = (change: object) => ({kind: 'mixture', mixture: {...mixed.mixture, ...change}});
  /** A mixture whose third layer has this combination. */
  const layers = (heads: unknown, own: unknown = 0) =>
    mixture({layers: mixed.mixture.layers.map((good, i) => (i === 2 ? {heads, own} : good))});
  const spoiled: [string, object, string][] = [
    ['another version', {version: 2}, 'version must be 1 but is 2'],
    ['another kind', {kind: 'sum'}, 'kind must be "kl" or "mixture" but is "sum"'],
    ['a mixture without its weights', {kind: 'mixture'}, 'mixture must be an object but is missing'],
    [
      'a weight of 0',
      layers([
        [0, 0, 1],
        [1, 0, 0],
      ]),
      'mixture.layers must be 8 combinations {heads, own} of different',
    ],
    ['a weight that is a text', layers([[0, 0, '1']]), 'mixture.layers must be 8 combinations'],
    ['a head that is not there in a mixture', layers([[0, 5, 1]]), 'head below 5'],
    ['a layer that is not there in a mixture', layers([[4, 0, 1]]), '[draft layer below 4'],
    ['weights that do not sum to 1', layers([[0, 0, 0.7]]), 'whose weights and own sum to 1'],
    ['no weights', layers([]), 'whose weights and own sum to 1'],
    [
      'a combination without a weight of the attention history',
      layers([[0, 0, 1]], null),
      'combinations {heads, own}',
    ],
    ['a negative weight of the attention history', layers([[0, 0, 1.5]], -0.5), 'combinations {heads, own}'],
    ['an attention history of 0 rows', mixture({ownRows: 0}), 'mixture.ownRows must be a whole number >= 1'],
    [
      'a head twice',
      layers([
        [0, 0, 0.5],
        [0, 0, 0.5],
      ]),
      'different [draft layer',
    ],
    ['too few combinations', mixture({layers: [halves]}), 'mixture.layers must be 8 combinations'],
    ['too few KV heads', mixture({groups: Array(8).fill([halves])}), 'mixture.groups must be 8 lists of 5'],
    ['divergences that are no numbers', mixture({kl: Array(8).fill(null)}), 'mixture.kl must be 8 numbers'],
    [
      'a negative layer budget',
      mixture({slack: [1, 1, 1, 1, 1, 1, 1, -1]}),
      'mixture.slack must be 8 numbers >= 0',
    ],
    ['a layer budget of too few layers', mixture({slack: [1]}), 'mixture.slack must be 8 numbers >= 0'],
    ['another draft', {draft: {config: 'abc'}}, 'draft.config must be'],
    ['another verifier', {verifier: {config: 'abc'}}, 'the map is of another model'],
    ['too few layers', {layers: [0, 1]}, 'layers must be 8 draft layers below 4 but is [0,1]'],
    [
      'a layer that is not there',
      {layers: [0, 0, 0, 0, 0, 0, 0, 4]},
      'layers must be 8 draft layers below 4',
    ],
    [
      'a map that decreases',
      {layers: [0, 1, 0, 1, 2, 3, 3, 3]},
      'layers must be a list that never decreases',
    ],
    [
      'a head that is not there',
      {heads: map.heads.map((row, i) => (i === 3 ? [0, 1, 2, 3, 5] : row))},
      'lists of 5 draft heads below 5',
    ],
    [
      'a table with a hole',
      {kl: map.kl.map((row, i) => (i === 2 ? [1, 2, 3] : row))},
      'kl must be 8 lists of 4 numbers',
    ],
    ['no text', {text: undefined}, 'text must be an object but is missing'],
  ];
  it('names a field of a map in memory whose value no file could hold', () => {
    const read = (layers: unknown) => () => readLayerMap({...map, layers} as LayerMap, draft, verifier);
    expect(read(1n)).to.throw('layerMap: layers must be 8 draft layers below 4 but is 1');
    expect(read(Symbol('x'))).to.throw('layerMap: layers must be 8 draft layers below 4 but is Symbol(x)');
    expect(read([1n])).to.throw(
      'layerMap: layers must be 8 draft layers below 4 but is an object that is no JSON',
    );
  });

  for (const [what, change, message] of spoiled) {
    it(`refuses ${what}`, () => {
      fs.writeFileSync(file(), JSON.stringify({...map, ...change}));
      expect(() => readLayerMap(file(), draft, verifier))
        .to.throw(message)
        .with.property('message')
        .include(file());
    });
  }
});

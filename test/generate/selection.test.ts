import {expect} from 'chai';

import type {LlamaConfig} from '../../models/config.js';
import type {LayerMap} from '../../models/layer_map.js';
import {Selection, planSelection} from '../../src/selection.js';
import {forEachBackend} from '../backends.js';
import {expectClose} from '../compare.js';

const draft = {numHiddenLayers: 3, numAttentionHeads: 3} as LlamaConfig;
/** 4 query heads on 2 key/value heads. */
const verifier = {numHiddenLayers: 4, numAttentionHeads: 4, numKeyValueHeads: 2} as LlamaConfig;
const map = {
  kind: 'kl',
  layers: [0, 0, 2, 2],
  heads: [
    [0, 1, 2, 0],
    [1, 1, 0, 2],
    [2, 0, 1, 1],
    [0, 0, 0, 0],
  ],
} as LayerMap;
/** Combinations of the draft's 3 × 3 heads. */
const mixed = {
  ...map,
  kind: 'mixture',
  mixture: {
    layers: [
      [[0, 0, 1]],
      [[2, 1, 1]],
      [
        [2, 2, 0.75],
        [0, 1, 0.25],
      ],
      [[2, 0, 1]],
    ],
    groups: [
      [[[0, 0, 1]], [[0, 1, 1]]],
      [[[0, 0, 1]], [[0, 1, 1]]],
      [[[1, 2, 1]], [[2, 2, 1]]],
      [
        [
          [1, 0, 0.5],
          [1, 1, 0.5],
        ],
        [[2, 0, 1]],
      ],
    ],
  },
} as LayerMap;
const plan = (granularity: 'layer' | 'head', denseLayers: number, by = map) =>
  planSelection(by, draft, verifier, {granularity, denseLayers});

describe('planSelection', () => {
  it('has a set for each draft layer in use', () => {
    expect(plan('layer', 0)).to.deep.equal({
      attention: {granularity: 'layer', layers: [0, 2]},
      sets: [0, 0, 1, 1],
      setsPerLayer: 1,
      mix: [
        [1, 0],
        [0, 1],
      ],
    });
    expect(plan('layer', 1)).to.deep.include({
      attention: {granularity: 'layer', layers: [0, 2]},
      sets: [-1, 0, 1, 1],
    });
    expect(plan('layer', 3)).to.deep.equal({
      attention: {granularity: 'layer', layers: [2]},
      sets: [-1, -1, -1, 0],
      setsPerLayer: 1,
      mix: [[1]],
    });
  });

  it('has a set for each key/value head of each sparse layer: the mean over its query heads', () => {
    expect(plan('head', 1)).to.deep.equal({
      attention: {granularity: 'head', layers: [0, 2]},
      sets: [-1, 0, 2, 4],
      setsPerLayer: 2,
      mix: [
        // Rows: heads 0, 1, 2 of draft layer 0, then of draft layer 2.
        [0, 1, 0, 0, 0, 0],
        [0.5, 0, 0.5, 0, 0, 0],
        [0, 0, 0, 0.5, 0, 0.5],
        [0, 0, 0, 0, 1, 0],
        [0, 0, 0, 1, 0, 0],
        [0, 0, 0, 1, 0, 0],
      ],
    });
  });

  it('has a set for each sparse layer of a mixture, of the heads in it', () => {
    expect(plan('layer', 2, mixed)).to.deep.equal({
      attention: {granularity: 'head', layers: [0, 2]},
      sets: [-1, -1, 0, 1],
      setsPerLayer: 1,
      mix: [
        // Rows: heads 0, 1, 2 of draft layer 0, then of draft layer 2.
        [0, 0.25, 0, 0, 0, 0.75],
        [0, 0, 0, 1, 0, 0],
      ],
    });
  });

  it('has a set for each key/value head of a mixture', () => {
    expect(plan('head', 2, mixed)).to.deep.equal({
      attention: {granularity: 'head', layers: [1, 2]},
      sets: [-1, -1, 0, 2],
      setsPerLayer: 2,
      mix: [
        [0, 0, 1, 0, 0, 0],
        [0, 0, 0, 0, 0, 1],
        [0.5, 0.5, 0, 0, 0, 0],
        [0, 0, 0, 1, 0, 0],
      ],
    });
  });

  it('needs the attention of sparse layers only', () => {
    expect(plan('head', 2).attention.layers).to.deep.equal([2]);
    for (const {mix} of [plan('head', 0), plan('head', 2)])
      for (const row of mix) expect(row.reduce((a, b) => a + b)).to.equal(1);
  });
});

forEachBackend('Selection', () => {
  it('holds the plan as tensors until it is disposed of', () => {
    const selection = new Selection(plan('head', 2), 0.9);
    expect(selection.mix.shape).to.deep.equal([4, 3]);
    expectClose(selection.mix.dataSync(), [0.5, 0, 0.5, 0, 1, 0, 1, 0, 0, 1, 0, 0]);
    expectClose(selection.p.dataSync(), [0.9, 0.9, 0.9, 0.9]);
    selection.dispose();
  });
});

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
  layers: [0, 0, 2, 2],
  heads: [
    [0, 1, 2, 0],
    [1, 1, 0, 2],
    [2, 0, 1, 1],
    [0, 0, 0, 0],
  ],
} as LayerMap;
const plan = (granularity: 'layer' | 'head', denseLayers: number) =>
  planSelection(map, draft, verifier, {granularity, denseLayers});

describe('planSelection', () => {
  it('has a set for each draft layer in use', () => {
    expect(plan('layer', 0)).to.deep.equal({
      attentionLayers: [0, 2],
      sets: [0, 0, 1, 1],
      setsPerLayer: 1,
      mix: [
        [1, 0],
        [0, 1],
      ],
    });
    expect(plan('layer', 1)).to.deep.include({attentionLayers: [0, 2], sets: [-1, 0, 1, 1]});
    expect(plan('layer', 3)).to.deep.equal({
      attentionLayers: [2],
      sets: [-1, -1, -1, 0],
      setsPerLayer: 1,
      mix: [[1]],
    });
  });

  it('has a set for each key/value head of each sparse layer: the mean over its query heads', () => {
    expect(plan('head', 1)).to.deep.equal({
      attentionLayers: [0, 2],
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

  it('needs the attention of sparse layers only', () => {
    expect(plan('head', 2).attentionLayers).to.deep.equal([2]);
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

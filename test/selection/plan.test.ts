import {expect} from 'chai';

import type {LlamaConfig} from '../../models/hf/config.js';
import type {LayerMap, MixtureMap} from '../../models/layer_map.js';
import {decayFactors} from '../../src/selection/attention_history.js';
import {planSelection, thresholds} from '../../src/selection/plan.js';
import {SelectionTensors} from '../../src/selection/tensors.js';
import {forEachBackend} from '../backends.js';
import {expectClose} from '../compare.js';

const draft = {numHiddenLayers: 3, numAttentionHeads: 3} as LlamaConfig;
/** 4 query heads and 2 KV heads. */
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
/** A mixture of the draft's 3 × 3 heads and of the attention history. */
const mixed = {
  ...map,
  kind: 'mixture',
  mixture: {
    layers: [
      {heads: [[0, 0, 1]], own: 0},
      {heads: [[2, 1, 1]], own: 0},
      {
        heads: [
          [2, 2, 0.75],
          [0, 1, 0.25],
        ],
        own: 0,
      },
      {heads: [[2, 0, 1]], own: 0},
    ],
    groups: [
      [
        {heads: [[0, 0, 1]], own: 0},
        {heads: [[0, 1, 1]], own: 0},
      ],
      [
        {heads: [[0, 0, 1]], own: 0},
        {heads: [[0, 1, 1]], own: 0},
      ],
      [
        {heads: [[1, 2, 1]], own: 0},
        {heads: [[2, 2, 0.25]], own: 0.75},
      ],
      [
        {
          heads: [
            [1, 0, 0.25],
            [1, 1, 0.25],
          ],
          own: 0.5,
        },
        {heads: [[2, 0, 1]], own: 0},
      ],
    ],
    ownRows: 8,
  },
} as unknown as LayerMap;
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

  it('has a set for each KV head of each sparse layer: the mean over its query heads', () => {
    expect(plan('head', 1)).to.deep.equal({
      attention: {
        granularity: 'head',
        layers: [0, 2],
        heads: [
          [0, 1, 2],
          [0, 1, 2],
        ],
      },
      sets: [-1, 0, 2, 4],
      setsPerLayer: 2,
      mix: [
        // Columns: heads 0, 1 and 2 of draft layer 0, then of draft layer 2.
        [0, 1, 0, 0, 0, 0],
        [0.5, 0, 0.5, 0, 0, 0],
        [0, 0, 0, 0.5, 0, 0.5],
        [0, 0, 0, 0, 1, 0],
        [0, 0, 0, 1, 0, 0],
        [0, 0, 0, 1, 0, 0],
      ],
    });
  });

  it('has a set for each sparse layer of a mixture, and asks only for the heads in it', () => {
    expect(plan('layer', 2, mixed)).to.deep.equal({
      attention: {granularity: 'head', layers: [0, 2], heads: [[1], [0, 2]]},
      sets: [-1, -1, 0, 1],
      setsPerLayer: 1,
      mix: [
        [0.25, 0, 0.75],
        [0, 1, 0],
      ],
    });
  });

  it('has a set for each KV head of a mixture, which may include the attention history', () => {
    expect(plan('head', 2, mixed)).to.deep.equal({
      attention: {
        granularity: 'head',
        layers: [1, 2],
        heads: [
          [0, 1, 2],
          [0, 2],
        ],
      },
      sets: [-1, -1, 0, 2],
      setsPerLayer: 2,
      mix: [
        // Columns: the heads listed above, then the attention history of each set.
        [0, 0, 1, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0.25, 0, 0.75, 0, 0],
        [0.25, 0.25, 0, 0, 0, 0, 0, 0.5, 0],
        [0, 0, 0, 1, 0, 0, 0, 0, 0],
      ],
      historyRows: 8,
    });
  });

  it('needs the attention of sparse layers only', () => {
    expect(plan('head', 2).attention.layers).to.deep.equal([2]);
    for (const {mix} of [plan('head', 0), plan('head', 2)])
      for (const row of mix) expect(row.reduce((a, b) => a + b)).to.equal(1);
  });
});

describe('decayFactors', () => {
  it('carries a running average over the accepted rows, one after the other', () => {
    const [before, ...rows] = [0.7, 0.1, 0.9, 0.4];
    let average = before;
    decayFactors(8, rows.length).forEach((factors, accepted) => {
      if (accepted > 0) average += (rows[accepted - 1] - average) / 8;
      const got = factors.reduce((sum, factor, i) => sum + factor * [before, ...rows][i], 0);
      expect(got).to.be.closeTo(average, 1e-12);
    });
  });
});

forEachBackend('SelectionTensors', () => {
  it('holds the plan as tensors until it is disposed of', () => {
    const selection = new SelectionTensors(plan('head', 2), 5);
    expect(selection.mix.shape).to.deep.equal([4, 3]);
    expectClose(selection.mix.dataSync(), [0.5, 0, 0.5, 0, 1, 0, 1, 0, 0, 1, 0, 0]);
    expect(thresholds(plan('head', 2), 0.9)).to.deep.equal([0.9, 0.9, 0.9, 0.9]);
    expect(selection.decay).to.equal(undefined);
    selection.dispose();
    const back = new SelectionTensors(plan('head', 2, mixed), 5);
    expect(back.mix.shape).to.deep.equal([4, 9]);
    expect(back.decay!.shape).to.deep.equal([6, 6]);
    back.dispose();
  });

  it('gives the sets of each layer their own p if the map has a layer budget', () => {
    const slack = [1, 1, 0.5, 0];
    const budgeted = {...mixed, mixture: {...(mixed as MixtureMap).mixture, slack}} as LayerMap;
    expect(plan('layer', 1, budgeted).layerBudget).to.deep.equal([1, 0.5, 0]);
    expect(plan('layer', 1, {...budgeted, kind: 'kl'} as LayerMap).layerBudget).to.equal(undefined);
    const ps = (p: number, by: LayerMap) => thresholds(plan('head', 2, by), p);
    expectClose(ps(0.8, budgeted), [0.9, 0.9, 1, 1]);
    expectClose(ps(1, budgeted), [1, 1, 1, 1]);
    const most = {...mixed, mixture: {...(mixed as MixtureMap).mixture, slack: [1, 1, 3, 3]}} as LayerMap;
    expectClose(ps(0.5, most), [0.01, 0.01, 0.01, 0.01]);
  });
});

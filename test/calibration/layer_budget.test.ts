/** Tests of the layer budget, which says how much of its attention each sparse layer leaves out. */
import {expect} from 'chai';

import type {MixtureMap} from '../../models/layer_map.js';
import {
  divergence,
  fitLayerBudget,
  solveLayerBudget,
  type LayerCost,
} from '../../src/calibration/layer_budget.js';
import {onBackend} from '../backends.js';
import {Random} from '../random.js';
import {passage, withModel} from '../decoding/models.js';

/** A layer that, if it leaves out the share s of its attention, diverges by a·s^alpha and keeps the share b·s^-beta of its keys. */
const law = (a: number, alpha: number, b: number, beta: number) => ({
  divergence: (s: number) => a * s ** alpha,
  kept: (s: number) => b * s ** -beta,
});
type Law = ReturnType<typeof law>;
const costs = (laws: Law[]) =>
  laws.map((of): LayerCost => ({divergence: [0.2, 0.05].map(of.divergence), kept: [0.2, 0.05].map(of.kept)}));
const sum = (numbers: number[]) => numbers.reduce((a, b) => a + b, 0);

describe('solveLayerBudget', () => {
  const laws = [
    law(1, 1.8, 0.02, 1),
    law(0.2, 1.8, 0.03, 0.8),
    law(0.5, 1.5, 0.02, 0.9),
    law(0.3, 2, 0.01, 1.1),
  ];
  const divergenceAt = (budget: number[]) => sum(laws.map((of, i) => of.divergence(0.1 * budget[i])));
  const keptAt = (budget: number[]) => sum(laws.map((of, i) => of.kept(0.1 * budget[i])));

  it('keeps as many keys as one p for all layers, at less divergence than any budget near it', () => {
    const budget = solveLayerBudget(costs(laws), 0);
    const [wanted, before] = [keptAt([1, 1, 1, 1]), divergenceAt([1, 1, 1, 1])];
    expect(keptAt(budget) / wanted).to.be.closeTo(1, 0.01);
    expect(divergenceAt(budget)).to.be.lessThan(0.95 * before);
    for (let i = 0; i < laws.length; i++) {
      for (let j = 0; j < laws.length; j++) {
        if (i === j) continue;
        // Layer i leaves out more attention, and layer j so much less that the number of kept keys stays the same.
        const other = budget.map((x, k) => (k === i ? 1.1 * x : x));
        let [low, high] = [0.2 * budget[j], budget[j]];
        for (let n = 0; n < 50; n++) {
          other[j] = (low + high) / 2;
          if (keptAt(other) > keptAt(budget)) low = other[j];
          else high = other[j];
        }
        expect(divergenceAt(other)).to.be.greaterThan(divergenceAt(budget));
      }
    }
  });

  it('is 1 for equal layers, and gives excluded layers the factor that they would have among the others', () => {
    const same = law(0.4, 1.7, 0.02, 0.9);
    expect(solveLayerBudget(costs([same, same, same]), 0)).to.deep.equal([1, 1, 1]);
    expect(solveLayerBudget(costs([law(40, 1.7, 0.02, 0.9), same, same]), 1).slice(1)).to.deep.equal([1, 1]);
    expect(solveLayerBudget(costs([law(1.2, 1.7, 0.02, 0.9), same, same]), 1)[0]).to.be.within(0.5, 0.9);
  });

  it('stays between a third and three', () => {
    const [dear, cheap] = [law(100, 2, 0.02, 1), law(0.001, 2, 0.02, 1)];
    expect(solveLayerBudget(costs([dear, cheap, cheap]), 0)).to.satisfy((budget: number[]) =>
      budget.every((x) => x >= 0.33 && x <= 3),
    );
    const none = {divergence: [0, 0], kept: [1, 1]};
    expect(solveLayerBudget([none, none], 0)).to.satisfy((budget: number[]) => budget.every(Number.isFinite));
  });
});

describe('divergence', () => {
  it('is the divergence of the softmaxes, summed over rows', () => {
    const random = new Random('divergence');
    const [rows, vocabulary] = [3, 11];
    const logits = () => Float32Array.from({length: rows * vocabulary}, () => 8 * random.next());
    const [p, q] = [logits(), logits()];
    let expected = 0;
    for (let row = 0; row < rows; row++) {
      const softmax = (x: Float32Array) => {
        const exps = Array.from(x.subarray(row * vocabulary, (row + 1) * vocabulary), Math.exp);
        return exps.map((e) => e / sum(exps));
      };
      const [a, b] = [softmax(p), softmax(q)];
      expected += sum(a.map((x, i) => x * Math.log(x / b[i])));
    }
    expect(divergence(p, q, vocabulary)).to.be.closeTo(expected, 1e-6 * expected);
    expect(divergence(p, p, vocabulary)).to.equal(0);
  });
});

onBackend('specattn', 'fitLayerBudget on the embedded pair', () => {
  it('measures only windows that are long enough', () =>
    withModel({}, async ({draft, verifier, tokenizer, layerMap}) => {
      const models = {draft: draft!, verifier};
      const tokens = tokenizer.encode(passage(2));
      const seen: string[] = [];
      const budget = await fitLayerBudget(
        models,
        layerMap as MixtureMap,
        [tokens.slice(0, 40), tokens.slice(0, 320)],
        {
          onProgress: (loaded, total) => seen.push(`${loaded}/${total}`),
        },
      );
      expect(seen).to.have.length(16);
      expect(seen.at(-1)).to.equal('16/16');
      expect(budget).to.have.length(8);
      for (const x of budget!) expect(x).to.be.within(0.33, 3);
      expect(new Set(budget).size).to.be.greaterThan(4);
      expect(await fitLayerBudget(models, layerMap as MixtureMap, [tokens.slice(0, 40)])).to.equal(undefined);
      const signal = AbortSignal.abort();
      const ended = await fitLayerBudget(models, layerMap as MixtureMap, [tokens.slice(0, 320)], {
        signal,
      }).catch((error: Error) => error.name);
      expect(ended).to.equal('AbortError');
    }));
});

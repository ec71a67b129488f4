/** Tests of sparse verification of a long text: the keys that it reads and the statistics that it reports. */
import {expect} from 'chai';

import type {Combination, LayerMap, WeightedHead} from '../../models/layer_map.js';
import type {GenerateResult} from '../../src/decoding/generate.js';
import type {LanguageModel} from '../../src/language_model.js';
import type {GenerateOptions} from '../../src/options.js';
import {onBackend} from '../backends.js';
import {passage, withModel} from './models.js';

const sum = (list: number[]) => list.reduce((a, b) => a + b, 0);

/** Expects the statistics of an answer to agree with each other. */
function expectConsistent({tokens, stats}: GenerateResult, gamma?: number): void {
  const {accepted, acceptedLengths, rounds, drafted, time} = stats;
  expect(stats.newTokens).to.equal(tokens.length);
  expect(sum(acceptedLengths), 'rounds').to.equal(rounds);
  expect(sum(acceptedLengths.map((count, i) => i * count)), 'accepted').to.equal(accepted);
  expect(stats.meanAcceptedLength).to.be.closeTo(accepted / rounds, 1e-12);
  expect(stats.acceptance).to.be.closeTo(accepted / drafted, 1e-12);
  if (gamma !== undefined) expect(drafted).to.equal(gamma * rounds);
  // A round writes its accepted tokens and one more. The last round may write more than maxNewTokens.
  expect(accepted + rounds).to.be.within(tokens.length, tokens.length + (gamma ?? 8));
  const phases = time.draft + time.select + time.verify + time.accept + time.refresh;
  expect(phases, 'phases').to.be.within(0, time.decode);
  expect(time.prefill + time.decode + time.caller).to.be.closeTo(time.total, 1e-6);
  expect(stats.tokensPerSecond).to.be.closeTo((tokens.length * 1000) / time.decode, 1e-6);
}

onBackend('specattn', 'sparse verification', () => {
  it('reads a part of a long text', () =>
    withModel({}, async (lm) => {
      const prompt = passage(2);
      const answer = (options: GenerateOptions) =>
        lm.generate(prompt, {maxNewTokens: 24, gamma: 4, ...options});
      const dense = await answer({verification: 'dense'});
      expectConsistent(dense, 4);
      expect(dense.stats.promptTokens).to.be.greaterThan(1500);
      expect(dense.stats.kvReduction).to.equal(0);
      expect(dense.stats.kvReductionAll).to.equal(0);
      expect(dense.stats.bytesRead.keyValues).to.equal(dense.stats.bytesRead.keyValuesDense);

      const sparse = await answer({p: 0.95});
      expectReduced(sparse);
      const lower = await answer({p: 0.5});
      expectReduced(lower);
      expect(lower.stats.kvReduction).to.be.greaterThan(sparse.stats.kvReduction);
    }));

  function expectReduced(result: GenerateResult): void {
    const {kvReduction, kvReductionAll, bytesRead} = result.stats;
    expectConsistent(result, 4);
    expect(kvReduction).to.be.within(0.05, 0.999);
    // 2 of 8 layers are dense.
    expect(kvReductionAll).to.be.closeTo((kvReduction * 6) / 8, 1e-9);
    // A round reads every key that any of its rows sees, which is more than a single row sees.
    const share = bytesRead.keyValues / bytesRead.keyValuesDense;
    expect(share).to.be.within(1 - kvReductionAll - 0.01, 0.999);
  }

  const prompt = passage(3).slice(0, 1600);
  const answer = async (lm: LanguageModel, options: GenerateOptions) => {
    const result = await lm.generate(prompt, {maxNewTokens: 16, gamma: 3, p: 0.9, ...options});
    expectConsistent(result, options.gamma === 'adaptive' ? undefined : 3);
    return result.stats;
  };

  it('selects by head', () =>
    withModel({}, async (lm) => {
      const {kvReduction, bytesRead} = await answer(lm, {granularity: 'head'});
      expect(kvReduction).to.be.within(0.05, 0.999);
      expect(bytesRead.keyValues).to.be.lessThan(bytesRead.keyValuesDense);
    }));

  /** A layer map with the same combination for every layer and every KV head. */
  function mixtureOf({layerMap, verifier}: LanguageModel, combination: Combination): LayerMap {
    const layers = Array.from({length: verifier.config.numHiddenLayers}, () => combination);
    const kvHeads = Array.from({length: verifier.config.numKeyValueHeads}, () => combination);
    const mixture = {layers, groups: layers.map(() => kvHeads), ownRows: 8, kl: layers.map(() => 0.5)};
    return {...layerMap!, kind: 'mixture', mixture};
  }
  const heads: WeightedHead[] = [
    [0, 1, 0.25],
    [3, 4, 0.75],
  ];
  const options = {maxNewTokens: 16, gamma: 3};

  it('selects by the weights of a mixture, and equals dense verification if all keys are kept', () =>
    withModel({}, async (lm) => {
      const dense = await lm.generate(prompt, {...options, verification: 'dense'});
      await withModel({layerMap: mixtureOf(lm, {heads, own: 0})}, async (mixed) => {
        const byLayer = await mixed.generate(prompt, {...options, p: 0.9});
        const byHead = await mixed.generate(prompt, {...options, p: 0.9, granularity: 'head'});
        expect(byLayer.stats.kvReduction).to.be.within(0.05, 0.999);
        // Every KV head has the same combination, so that all of them keep the same keys.
        expect(byHead.tokens).to.deep.equal(byLayer.tokens);
        expect(byHead.stats.kvReduction).to.be.closeTo(byLayer.stats.kvReduction, 1e-12);
        for (const granularity of ['layer', 'head'] as const) {
          const all = await mixed.generate(prompt, {...options, p: 1, granularity});
          expect(all.tokens).to.deep.equal(dense.tokens);
        }
      });
    }));

  it('selects by the attention history, which begins anew with every prompt', () =>
    withModel({}, async (lm) => {
      const half = heads.map(([layer, head, weight]): WeightedHead => [layer, head, weight / 2]);
      const dense = await lm.generate(prompt, {...options, verification: 'dense'});
      await withModel({layerMap: mixtureOf(lm, {heads, own: 0})}, async (blind) => {
        const without = await blind.generate(prompt, {...options, p: 0.9});
        await withModel({layerMap: mixtureOf(lm, {heads: half, own: 0.5})}, async (mixed) => {
          const write = (more: GenerateOptions) =>
            mixed.generate(prompt, {...options, p: 0.9, seed: 1, ...more});
          const first = await write({});
          expect(first.stats.kvReduction).to.be.within(0.05, 0.999);
          expect(first.stats.kvReduction).not.to.equal(without.stats.kvReduction);

          for (const more of [
            {granularity: 'head'},
            {verification: 'dense'},
            {draft: false},
            {gamma: 5},
          ] as const) {
            const other = await write({...more, maxNewTokens: 8});
            expect(other.tokens.length).to.equal(8);
            const again = await write({});
            expect(again.tokens).to.deep.equal(first.tokens);
            expect(again.stats.kvReduction).to.equal(first.stats.kvReduction);
          }
          const all = await write({p: 1});
          expect(all.tokens).to.deep.equal(dense.tokens);
        });
      });
    }));

  it('shows a row more keys with a wider union', () =>
    withModel({}, async (lm) => {
      const row = await answer(lm, {union: 'row', gamma: 3});
      const full = await answer(lm, {union: 'full', gamma: 3});
      expect(row.kvReduction).to.be.greaterThan(full.kvReduction);
    }));

  it('selects in every layer if denseLayers is 0', () =>
    withModel({}, async (lm) => {
      const {kvReduction, kvReductionAll} = await answer(lm, {denseLayers: 0, gamma: 'adaptive'});
      expect(kvReduction).to.be.greaterThan(0);
      expect(kvReductionAll).to.equal(kvReduction);
    }));

  for (const denseLayers of [8, 100]) {
    it(`is dense if denseLayers is ${denseLayers} of 8 layers`, () =>
      withModel({}, async (lm) => {
        const dense = await lm.generate(prompt, {maxNewTokens: 16, verification: 'dense'});
        const {tokens, stats} = await lm.generate(prompt, {maxNewTokens: 16, p: 0.1, denseLayers});
        expect(tokens).to.deep.equal(dense.tokens);
        expect(stats.kvReduction).to.equal(0);
        expect(stats.bytesRead).to.deep.equal(dense.stats.bytesRead);
      }));
  }

  it('counts time of refreshing only with refresh', () =>
    withModel({}, async (lm) => {
      expect((await answer(lm, {})).time.refresh).to.equal(0);
      expect((await answer(lm, {verification: 'refresh', refreshEvery: 1})).time.refresh).to.be.greaterThan(
        0,
      );
    }));
});

import {expect} from 'chai';

import type {LlamaConfig} from '../../models/hf/config.js';
import {StatsCollector} from '../../src/decoding/stats.js';

const LAYERS = 3;
const config = {numHiddenLayers: LAYERS, numKeyValueHeads: 2, headDim: 8} as LlamaConfig;
/** Bytes of the key and the value of one position in one KV head, with 2 bytes a number. */
const ROW = 2 * 8 * 2;
const collector = () => new StatsCollector(config, 2, 10, 'a device');

describe('StatsCollector', () => {
  it('is 0 if nothing was written', () => {
    const stats = collector();
    stats.prefilled();
    expect(stats.result(0)).to.deep.include({
      ...{
        promptTokens: 10,
        newTokens: 0,
        rounds: 0,
        drafted: 0,
        accepted: 0,
        acceptance: 0,
        acceptedLengths: [],
      },
      ...{
        meanAcceptedLength: 0,
        kvReduction: 0,
        kvReductionAll: 0,
        bytesRead: {keyValues: 0, keyValuesDense: 0},
      },
      ...{tokensPerSecond: 0, device: 'a device'},
    });
  });

  it('counts plain steps', () => {
    const stats = collector();
    stats.prefilled();
    stats.plain(9);
    stats.plain(10);
    const bytes = LAYERS * 2 * (10 + 11) * ROW;
    expect(stats.result(2)).to.deep.include({
      ...{rounds: 2, drafted: 0, acceptance: 0, meanAcceptedLength: 0, kvReduction: 0},
      bytesRead: {keyValues: bytes, keyValuesDense: bytes},
    });
  });

  it('counts dense rounds', () => {
    const stats = collector();
    stats.prefilled();
    const none = new Int32Array(0);
    stats.speculative(9, 4, 4, undefined, none, none);
    stats.speculative(14, 4, 0, undefined, none, none);
    stats.speculative(15, 2, 1, undefined, none, none);
    const bytes = LAYERS * 2 * (14 + 19 + 18) * ROW;
    expect(stats.result(8)).to.deep.include({
      ...{
        rounds: 3,
        drafted: 10,
        accepted: 5,
        acceptance: 0.5,
        acceptedLengths: [1, 1, 0, 0, 1],
        meanAcceptedLength: 5 / 3,
      },
      ...{kvReduction: 0, kvReductionAll: 0, bytesRead: {keyValues: bytes, keyValuesDense: bytes}},
    });
  });

  it('counts sparse rounds: rows up to the last accepted token, in layers that share a set', () => {
    const stats = collector();
    stats.prefilled();
    const plan = {
      attention: {granularity: 'layer' as const, layers: [0]},
      sets: [-1, 0, 0],
      setsPerLayer: 1,
      mix: [[1]],
    };
    // The three rows see 10, 11 and 12 keys. The last row follows a rejected token and does not count.
    stats.speculative(9, 2, 1, plan, Int32Array.of(7), Int32Array.of(5, 6, 7));
    const {kvReduction, kvReductionAll, bytesRead} = stats.result(2);
    expect(kvReduction).to.be.closeTo(1 - (5 + 6) / (10 + 11), 1e-12);
    expect(kvReductionAll).to.be.closeTo(1 - (2 * 11 + 21) / (3 * 21), 1e-12);
    expect(bytesRead).to.deep.equal({keyValues: 2 * (12 + 7 + 7) * ROW, keyValuesDense: 2 * 3 * 12 * ROW});
  });

  it('counts one set for each KV head', () => {
    const stats = collector();
    stats.prefilled();
    const plan = {
      attention: {granularity: 'layer' as const, layers: [0]},
      sets: [-1, -1, 0],
      setsPerLayer: 2,
      mix: [[1], [1]],
    };
    stats.speculative(9, 1, 0, plan, Int32Array.of(4, 8), Int32Array.of(3, 4, 7, 8));
    const {kvReduction, bytesRead} = stats.result(1);
    expect(kvReduction).to.be.closeTo(1 - (3 + 7) / 2 / 10, 1e-12);
    expect(bytesRead).to.deep.equal({
      keyValues: (2 * 2 * 11 + 4 + 8) * ROW,
      keyValuesDense: 3 * 2 * 11 * ROW,
    });
  });

  it('adds up phases', () => {
    const stats = collector();
    stats.prefilled();
    stats.phase({draft: 1, select: 2, verify: 3, accept: 4});
    stats.phase({draft: 1, verify: 1, refresh: 5});
    expect(stats.result(1).time).to.include({draft: 2, select: 2, verify: 4, accept: 4, refresh: 5});
  });
});

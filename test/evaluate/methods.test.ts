import {expect} from 'chai';

import {keysOf, parseMethod} from '../../src/evaluate/methods.js';

describe('parseMethod', () => {
  it('fills in defaults', () => {
    expect(parseMethod('dense')).to.deep.equal({kind: 'dense', gamma: 4});
    expect(parseMethod('specattn')).to.deep.equal({
      ...{kind: 'specattn', p: 0.95, gamma: 4, union: 'causal', sinks: 4, recent: 16},
      ...{denseLayers: 2, granularity: 'layer', refreshEvery: 0, map: ''},
    });
    expect(parseMethod('quest')).to.deep.equal({
      kind: 'quest',
      budget: 256,
      page: 16,
      denseLayers: 2,
      gamma: 4,
    });
    expect(parseMethod('streaming')).to.deep.equal({
      ...{kind: 'streaming', budget: 256, sinks: 4, denseLayers: 2, gamma: 4},
    });
  });

  it('reads numbers, words and files', () => {
    expect(parseMethod('specattn:p=0.9,union=row,granularity=head,map=maps/2.json')).to.deep.include({
      ...{p: 0.9, union: 'row', granularity: 'head', map: 'maps/2.json'},
    });
    expect(parseMethod('specattn:map=7')).to.deep.include({map: '7'});
    expect(parseMethod('oracle:p=1,gamma=0')).to.deep.include({p: 1, gamma: 0});
    expect(parseMethod('random:budget=0.25,seed=3')).to.deep.include({budget: 0.25, seed: 3});
  });

  const refusals: [string, string][] = [
    [
      '',
      "method must be one of dense, specattn, quest, streaming, oracle, random, with options as in 'specattn:p=0.95,gamma=4', but is ''",
    ],
    ['toString', 'method must be one of'],
    [
      'quest:p=0.9',
      "quest has no option 'p' (in 'quest:p=0.9'); its options are budget, page, denseLayers, gamma",
    ],
    ['dense:', "dense has no option ''"],
    ['specattn:p', 'p of specattn must be a number in (0, 1] but is ""'],
    ['specattn:p=1.1', 'p of specattn must be a number in (0, 1] but is 1.1'],
    ['specattn:union=some', "union of specattn must be one of 'row', 'causal', 'full' but is \"some\""],
    ['specattn:gamma=0', 'gamma of specattn must be 1 or more but is 0'],
    ['specattn:gamma=17', 'gamma of specattn must be a whole number from 0 to 16'],
    [
      'quest:budget=20.5',
      'budget of quest must be a whole number of keys, or a share of the visible ones in (0, 1)',
    ],
    ['quest:budget=8', 'budget of quest must be at least a page of 16 but is 8'],
    ['streaming:budget=4', 'budget of streaming must be more than its 4 sinks but is 4'],
    ['random:budget=19', 'budget of random must be at least sinks + recent = 20 but is 19'],
  ];
  for (const [text, message] of refusals) {
    it(`refuses '${text}'`, () => {
      expect(() => parseMethod(text)).to.throw(`[evaluate] ${message}`);
    });
  }
});

describe('keysOf', () => {
  it('turns a budget, a number or a share, into a number of visible keys', () => {
    expect(keysOf(256, 100)).to.equal(100);
    expect(keysOf(64, 100)).to.equal(64);
    expect(keysOf(0.25, 101)).to.equal(26);
  });
});

import {expect} from 'chai';

import {resolveOptions, type GenerateOptions} from '../../src/options.js';

const DEFAULTS = {
  ...{
    maxNewTokens: 128,
    draft: true,
    verification: 'sparse',
    p: 0.95,
    gamma: 'adaptive',
    refreshEvery: 8,
    sinks: 4,
    recent: 16,
  },
  ...{
    denseLayers: 2,
    union: 'causal',
    granularity: 'layer',
    temperature: 0,
    topK: 0,
    topP: 1,
    minP: 0,
    stop: [],
  },
};

describe('resolveOptions', () => {
  it('fills in what is missing or undefined', () => {
    expect(resolveOptions()).to.deep.include(DEFAULTS);
    expect(
      resolveOptions({p: undefined, gamma: undefined, stop: undefined, seed: undefined}),
    ).to.deep.include(DEFAULTS);
    expect(resolveOptions({p: 0.5, gamma: 3})).to.deep.include({...DEFAULTS, p: 0.5, gamma: 3});
  });

  it('draws a seed where none is given', () => {
    const [a, b] = [resolveOptions().seed, resolveOptions().seed];
    for (const seed of [a, b]) expect(Number.isSafeInteger(seed) && seed >= 0, `${seed}`).to.equal(true);
    expect(a).not.to.equal(b);
    expect(resolveOptions({seed: 0}).seed).to.equal(0);
  });

  it('takes one stop text or many', () => {
    expect(resolveOptions({stop: 'a'}).stop).to.deep.equal(['a']);
    expect(resolveOptions({stop: ['a', 'bc']}).stop).to.deep.equal(['a', 'bc']);
  });

  const LIMITS: Partial<Record<keyof GenerateOptions, {good: unknown[]; bad: unknown[]}>> = {
    maxNewTokens: {good: [0, 1, 1e6], bad: [-1, 0.5, NaN, Infinity, '3', null]},
    draft: {good: [true, false], bad: [1, 'no', null]},
    verification: {good: ['dense', 'sparse', 'refresh'], bad: ['Dense', '', 1, null]},
    p: {good: [1e-9, 0.95, 1], bad: [0, 1.0001, -1, NaN, '1', null]},
    gamma: {good: [1, 16, 'adaptive'], bad: [0, 17, 2.5, 99, 'auto', NaN, null]},
    refreshEvery: {good: [1, 100], bad: [0, 1.5, NaN]},
    sinks: {good: [0, 64], bad: [-1, 0.5, '4', 2 ** 31]},
    recent: {good: [0, 64], bad: [-1, 0.5, '4', 2 ** 31]},
    denseLayers: {good: [0, 999], bad: [-1, 0.5, '4']},
    union: {good: ['row', 'causal', 'full'], bad: ['none', 0]},
    granularity: {good: ['layer', 'head'], bad: ['token', 0]},
    temperature: {good: [0, 0.7, 5], bad: [-0.1, 1e39, NaN, Infinity, '1']},
    topK: {good: [0, 40], bad: [-1, 1.5, 2 ** 31]},
    topP: {good: [1e-9, 1], bad: [0, 1.1, NaN]},
    minP: {good: [0, 0.5, 1], bad: [-0.1, 1.1, NaN]},
    seed: {good: [0, Number.MAX_SAFE_INTEGER], bad: [-1, 0.5, 2 ** 53, 'x']},
    stop: {good: ['a', [], ['a', 'b']], bad: ['', ['a', ''], [1], 5, null]},
    onText: {good: [() => undefined], bad: ['print', {}, null]},
    signal: {good: [new AbortController().signal], bad: [{aborted: true}, true, null]},
  };
  for (const [name, {good, bad}] of Object.entries(LIMITS)) {
    it(`knows what ${name} may be`, () => {
      for (const value of good) expect(() => resolveOptions({[name]: value})).not.to.throw();
      for (const value of bad)
        expect(() => resolveOptions({[name]: value}), String(value)).to.throw(
          new RegExp(`^\\[generate\\] ${name} must be .+ but is `),
        );
    });
  }

  it('refuses unknown options, also the names of properties that every object has', () => {
    for (const name of ['temprature', 'toString', '__proto__x', 'hasOwnProperty'])
      expect(() => resolveOptions({[name]: 1} as GenerateOptions)).to.throw(
        `[generate] there is no option '${name}'; the options are maxNewTokens, draft, verification,`,
      );
    for (const options of [null, 5, 'sparse'])
      expect(() => resolveOptions(options as never)).to.throw(
        `[generate] options must be an object but are ${JSON.stringify(options)}`,
      );
  });

  it('names an option whatever its value is', () => {
    for (const [value, text] of [
      [Object.create(null), '{}'],
      [Symbol('x'), 'Symbol(x)'],
      [1n, '1'],
      [[1n], 'an object that is no JSON'],
      [Array(1000).fill(0), 'a list of 1000'],
    ])
      expect(() => resolveOptions({p: value} as GenerateOptions)).to.throw(
        `[generate] p must be a number in (0, 1] but is ${text}`,
      );
  });
});

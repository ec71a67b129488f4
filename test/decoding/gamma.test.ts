import {expect} from 'chai';

import {AdaptiveGamma} from '../../src/decoding/gamma.js';

/** The gamma after 200 rounds, in each of which `accepted` gives the number of accepted tokens. */
function settle(cost: number, accepted: (gamma: number, round: number) => number): number {
  const adaptive = new AdaptiveGamma(cost);
  for (let round = 0; round < 200; round++) {
    const gamma = adaptive.next();
    expect([1, 2, 4, 8]).to.include(gamma);
    adaptive.update(gamma, accepted(gamma, round));
  }
  return adaptive.next();
}

describe('AdaptiveGamma', () => {
  it('drafts the most tokens if all are accepted, and one token if none is', () => {
    expect(settle(0.2, (gamma) => gamma)).to.equal(8);
    expect(settle(0.2, () => 0)).to.equal(1);
  });

  it('drafts fewer tokens the more a draft costs', () => {
    const half = (gamma: number, round: number) => Math.min(gamma, round % 4);
    const gammas = [0.02, 0.1, 0.3, 1].map((cost) => settle(cost, half));
    expect(gammas).to.deep.equal([...gammas].sort((a, b) => b - a));
    expect(gammas[0]).to.be.greaterThan(gammas[3]);
    // If nothing is accepted, gamma is 1, the least that a round can draft.
    expect(settle(1, () => 0)).to.equal(1);
  });

  it('begins with the best gamma for an acceptance of 0.75', () => {
    for (const cost of [0.05, 0.2, 0.4]) {
      const rate = (gamma: number) => {
        let tokens = 1;
        for (let i = 1; i <= gamma; i++) tokens += 0.75 ** i;
        return tokens / (1 + gamma * cost);
      };
      const best = [1, 2, 4, 8].sort((a, b) => rate(b) - rate(a))[0];
      expect(new AdaptiveGamma(cost).next()).to.equal(best);
    }
  });

  it('follows an acceptance that changes', () => {
    const adaptive = new AdaptiveGamma(0.2);
    const run = (accepts: boolean) => {
      for (let round = 0; round < 40; round++) {
        const gamma = adaptive.next();
        adaptive.update(gamma, accepts ? gamma : 0);
      }
      return adaptive.next();
    };
    expect([run(true), run(false), run(true)]).to.deep.equal([8, 1, 8]);
  });
});

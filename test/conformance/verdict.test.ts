import {expect} from 'chai';

import {verdictOf, type FailedExpectation} from './verdict.js';

const notThrown: FailedExpectation = {
  matcherName: 'toThrowError',
  message: 'Expected function to throw an Error.',
};
const otherError: FailedExpectation = {
  matcherName: 'toThrowError',
  message: "Expected function to throw an Error with a message matching /range/, but it threw 'no memory'.",
};
const wrongValue: FailedExpectation = {matcherName: 'toEqual', message: 'Expected 1 to equal 2.'};
const taken = {kernelName: 'GatherV2', of: 'an index out of range'};

const failed = (...failedExpectations: FailedExpectation[]) => ({
  fullName: 'gather throws',
  status: 'failed',
  failedExpectations,
});

describe('the verdict on a spec of another suite', () => {
  it('excuses missing errors, one for each declared call', () => {
    expect(verdictOf(failed(notThrown), [taken])).to.equal('declared');
    expect(verdictOf(failed(notThrown, notThrown), [taken, taken])).to.equal('declared');
    expect(verdictOf(failed(notThrown, notThrown), [taken])).to.equal('failed');
  });

  it('excuses nothing without a declared call', () => {
    expect(verdictOf(failed(notThrown), [])).to.equal('failed');
  });

  it('never excuses a wrong value, or another error', () => {
    for (const expectation of [wrongValue, otherError]) {
      expect(verdictOf(failed(expectation), [taken])).to.equal('failed');
      expect(verdictOf(failed(notThrown, expectation), [taken, taken])).to.equal('failed');
    }
  });

  it('finds a declaration that is not needed', () => {
    const passed = {...failed(), status: 'passed'};
    expect(verdictOf(passed, [])).to.equal('passed');
    expect(verdictOf(passed, [taken])).to.equal('stale');
  });

  it('skips specs that tfjs-core skips', () => {
    expect(verdictOf({...failed(), status: 'pending'}, [])).to.equal('skipped');
  });
});

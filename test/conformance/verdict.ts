/** What a spec's result says of a backend, given what its kernels declare. */

/** A failed expectation, as jasmine reports it. */
export interface FailedExpectation {
  matcherName: string;
  message: string;
}

export interface SpecResult {
  fullName: string;
  status: string;
  failedExpectations: FailedExpectation[];
}

/** A call that a kernel took though its config declares that TensorFlow.js refuses such arguments. */
export interface TakenCall {
  kernelName: string;
  /** {@link MissingError.of}. */
  of: string;
}

export type Verdict = 'passed' | 'failed' | 'declared' | 'stale' | 'skipped';

/**
 * A failed spec is excused (`declared`) if all that it misses is errors, and there are as many calls among `taken` to miss them. A spec
 * that passes with such a call shows a declaration that is `stale`: nothing is missed there.
 */
export function verdictOf({status, failedExpectations}: SpecResult, taken: readonly TakenCall[]): Verdict {
  if (status === 'passed') return taken.length > 0 ? 'stale' : 'passed';
  if (status !== 'failed') return 'skipped'; // by tfjs-core: xit
  const excused = failedExpectations.length <= taken.length && failedExpectations.every(missesAnError);
  return excused ? 'declared' : 'failed';
}

/** Nothing was thrown; an error of other words is a failure. */
function missesAnError({matcherName, message}: FailedExpectation): boolean {
  return (
    /^toThrow(Error)?$/.test(matcherName) &&
    /^Expected function to throw an (Error|exception)\.$/.test(message)
  );
}

/** Decides whether a spec's result is a failure of the backend or is excused by an error that a kernel declares as missing. */

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

/** A call that a kernel accepted, although its config declares that TensorFlow.js refuses such arguments. */
export interface TakenCall {
  kernelName: string;
  /** the refused arguments, in the words of {@link MissingError.of} */
  of: string;
}

export type Verdict = 'passed' | 'failed' | 'declared' | 'stale' | 'skipped';

/**
 * A failed spec is excused (`declared`) if it misses nothing but errors, and if `taken` has as many calls as errors are missing. A spec
 * that passes although it makes such a call shows that the declaration is not needed (`stale`).
 */
export function verdictOf({status, failedExpectations}: SpecResult, taken: readonly TakenCall[]): Verdict {
  if (status === 'passed') return taken.length > 0 ? 'stale' : 'passed';
  if (status !== 'failed') return 'skipped'; // tfjs-core itself switches this spec off (xit)
  const excused = failedExpectations.length <= taken.length && failedExpectations.every(missesAnError);
  return excused ? 'declared' : 'failed';
}

/** Whether the expected error was not thrown at all. An error with another message is a failure. */
function missesAnError({matcherName, message}: FailedExpectation): boolean {
  return (
    /^toThrow(Error)?$/.test(matcherName) &&
    /^Expected function to throw an (Error|exception)\.$/.test(message)
  );
}

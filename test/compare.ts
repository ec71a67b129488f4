/** Comparisons of arrays of numbers, with a tolerance or to the bit. */
import {expect} from 'chai';

import {isCuda} from './backends.js';

/** The largest difference that {@link expectClose} accepts. */
export interface Tolerance {
  relative?: number;
  absolute?: number;
}

/**
 * Expects |actual − expected| ≤ absolute + relative · |expected| of every element; NaN and infinities must match. The defaults suit
 * a few float32 operations.
 */
export function expectClose(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  {relative = 1e-5, absolute = 1e-6}: Tolerance = {},
): void {
  expect(actual.length, 'length').to.equal(expected.length);
  for (let i = 0; i < actual.length; i++) {
    const [a, e] = [actual[i], expected[i]];
    const near = Object.is(a, e) || a === e || Math.abs(a - e) <= absolute + relative * Math.abs(e);
    if (!near || (!Number.isFinite(e) && !Object.is(a, e)))
      expect.fail(`element ${i} of ${actual.length}: expected ${e} but got ${a}`);
  }
}

/** Expects the same bits; any NaN equals NaN, and 0 differs from −0. */
export function expectSame(actual: ArrayLike<number>, expected: ArrayLike<number>): void {
  expect(actual.length, 'length').to.equal(expected.length);
  for (let i = 0; i < actual.length; i++)
    if (!Object.is(actual[i], expected[i]))
      expect.fail(`element ${i} of ${actual.length}: expected ${expected[i]} but got ${actual[i]}`);
}

/**
 * For two computations which add in the same order on the CPU device and in different orders on CUDA: expects the same bits on the CPU,
 * and a difference within `onCuda` on CUDA.
 */
export function expectSameOnCpu(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  onCuda: Tolerance,
): void {
  if (isCuda()) expectClose(actual, expected, onCuda);
  else expectSame(actual, expected);
}

/** The root mean square of the differences, divided by the root mean square of `expected`. */
export function meanError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  expect(actual.length, 'length').to.equal(expected.length);
  let [errors, squares] = [0, 0];
  for (let i = 0; i < expected.length; i++) {
    errors += (actual[i] - expected[i]) ** 2;
    squares += expected[i] ** 2;
  }
  return Math.sqrt(errors / squares);
}

/** How tests compare numbers. */
import {expect} from 'chai';

/**
 * |actual − expected| ≤ absolute + relative · |expected|, element by element; NaN and infinities must match. The defaults suit a
 * few float32 operations.
 */
export function expectClose(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  {relative = 1e-5, absolute = 1e-6} = {},
): void {
  expect(actual.length, 'length').to.equal(expected.length);
  for (let i = 0; i < actual.length; i++) {
    const [a, e] = [actual[i], expected[i]];
    const near = Object.is(a, e) || a === e || Math.abs(a - e) <= absolute + relative * Math.abs(e);
    if (!near || (!Number.isFinite(e) && !Object.is(a, e)))
      expect.fail(`element ${i} of ${actual.length}: expected ${e} but got ${a}`);
  }
}

/** Equal to the bit, NaN and the sign of 0 included. */
export function expectSame(actual: ArrayLike<number>, expected: ArrayLike<number>): void {
  expect(actual.length, 'length').to.equal(expected.length);
  for (let i = 0; i < actual.length; i++)
    if (!Object.is(actual[i], expected[i]))
      expect.fail(`element ${i} of ${actual.length}: expected ${expected[i]} but got ${actual[i]}`);
}

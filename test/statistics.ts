/** Whether counts agree with a distribution. */

/** Pearson's χ² of counts against probabilities; infinite where something happened that cannot. */
export function chiSquare(counts: readonly number[], probabilities: ArrayLike<number>): number {
  const total = counts.reduce((a, b) => a + b, 0);
  return counts.reduce((sum, count, i) => {
    const expected = total * probabilities[i];
    return expected > 0 ? sum + (count - expected) ** 2 / expected : count > 0 ? Infinity : sum;
  }, 0);
}

/** What χ² exceeds with a probability of about 1e-5 by chance (Wilson and Hilferty's approximation). */
export function chiSquareLimit(degreesOfFreedom: number): number {
  const n = Math.max(1, degreesOfFreedom);
  const a = 2 / (9 * n);
  return n * (1 - a + 4.265 * Math.sqrt(a)) ** 3;
}

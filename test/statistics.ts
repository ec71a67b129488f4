/** Statistics that say whether counts agree with a distribution, with limits that chance exceeds about once in 100,000 times. */

/** Pearson's χ² of counts against probabilities; infinite if an event of probability 0 was counted. */
export function chiSquare(counts: readonly number[], probabilities: ArrayLike<number>): number {
  const total = counts.reduce((a, b) => a + b, 0);
  return counts.reduce((sum, count, i) => {
    const expected = total * probabilities[i];
    return expected > 0 ? sum + (count - expected) ** 2 / expected : count > 0 ? Infinity : sum;
  }, 0);
}

/** A cell expected less often than this is rare: with such cells the statistic does not follow the χ² distribution. */
const LEAST_EXPECTED = 5;

/** Pools the rare cells into cell 0. The other cells follow in their order, those of probability 0 too. */
export function pooled(
  counts: readonly number[],
  probabilities: ArrayLike<number>,
): {counts: number[]; probabilities: number[]; degreesOfFreedom: number} {
  const total = counts.reduce((a, b) => a + b, 0);
  const cells = {counts: [0], probabilities: [0]};
  counts.forEach((count, i) => {
    const rare = probabilities[i] > 0 && probabilities[i] * total < LEAST_EXPECTED;
    const at = rare ? 0 : cells.counts.length;
    cells.counts[at] = (cells.counts[at] ?? 0) + count;
    cells.probabilities[at] = (cells.probabilities[at] ?? 0) + probabilities[i];
  });
  return {...cells, degreesOfFreedom: cells.probabilities.filter((p) => p > 0).length - 1};
}

/** Total variation, ½ Σ |share − probability|: the largest difference between an event's share and its probability. */
export function totalVariation(counts: readonly number[], probabilities: ArrayLike<number>): number {
  const total = counts.reduce((a, b) => a + b, 0);
  return counts.reduce((sum, count, i) => sum + Math.abs(count / total - probabilities[i]), 0) / 2;
}

/**
 * A limit which the total variation of n = `draws` draws exceeds by chance with a probability of at most 1e-5. The mean of the total
 * variation is at most ½ Σ √(p(1 − p) / n). One draw changes it by at most 1/n, so by McDiarmid's inequality it exceeds its mean by t
 * with a probability of at most exp(−2nt²).
 */
export function totalVariationLimit(draws: number, probabilities: ArrayLike<number>): number {
  const mean = Array.from(probabilities).reduce((sum, p) => sum + Math.sqrt((p * (1 - p)) / draws), 0) / 2;
  return mean + Math.sqrt(Math.log(1e5) / (2 * draws));
}

/** A limit which χ² exceeds by chance with a probability of about 1e-5 (Wilson and Hilferty's approximation). */
export function chiSquareLimit(degreesOfFreedom: number): number {
  const n = Math.max(1, degreesOfFreedom);
  const a = 2 / (9 * n);
  return n * (1 - a + 4.265 * Math.sqrt(a)) ** 3;
}

/** Whether counts agree with a distribution. */

/** Pearson's χ² of counts against probabilities; infinite where something happened that cannot. */
export function chiSquare(counts: readonly number[], probabilities: ArrayLike<number>): number {
  const total = counts.reduce((a, b) => a + b, 0);
  return counts.reduce((sum, count, i) => {
    const expected = total * probabilities[i];
    return expected > 0 ? sum + (count - expected) ** 2 / expected : count > 0 ? Infinity : sum;
  }, 0);
}

/** Cells that are expected less often than this tell little alone, and χ² is not χ² with them. */
const LEAST_EXPECTED = 5;

/** The same without rare cells: they are one, beside those that cannot be, which stay as they are. */
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

/** ½ Σ |share − probability|: the most that any event's share is off. */
export function totalVariation(counts: readonly number[], probabilities: ArrayLike<number>): number {
  const total = counts.reduce((a, b) => a + b, 0);
  return counts.reduce((sum, count, i) => sum + Math.abs(count / total - probabilities[i]), 0) / 2;
}

/**
 * What the total variation of `draws` draws exceeds with a probability of 1e-5 at most by chance: its mean is at most
 * ½ Σ √(p(1 − p) / n), and it is above that by t with a probability of exp(−2nt²) at most (McDiarmid's inequality: a draw moves it by 1/n).
 */
export function totalVariationLimit(draws: number, probabilities: ArrayLike<number>): number {
  const mean = Array.from(probabilities).reduce((sum, p) => sum + Math.sqrt((p * (1 - p)) / draws), 0) / 2;
  return mean + Math.sqrt(Math.log(1e5) / (2 * draws));
}

/** What χ² exceeds with a probability of about 1e-5 by chance (Wilson and Hilferty's approximation). */
export function chiSquareLimit(degreesOfFreedom: number): number {
  const n = Math.max(1, degreesOfFreedom);
  const a = 2 / (9 * n);
  return n * (1 - a + 4.265 * Math.sqrt(a)) ** 3;
}

/**
 * The nucleus of a row of weights, computed by its definition. The native kernels find the same set without sorting the
 * row.
 */

/**
 * The smallest set of the first `n` elements whose sum reaches `p` times the sum of them all; ties go to the lower
 * index. Negative and NaN weights count as 0 and are never in the nucleus. A row without a positive weight has an empty
 * nucleus.
 *
 * Sums are float64, over the row in descending order. All devices return the set that this order of additions gives.
 *
 * @returns the indices of the nucleus, in descending order of their weights
 */
export function nucleusOf(row: ArrayLike<number>, n: number, p: number): Uint32Array {
  const order = new Uint32Array(n);
  let positives = 0;
  for (let j = 0; j < n; j++) if (row[j] > 0) order[positives++] = j;
  // The difference of two infinite weights is NaN, which is falsy: then the index decides too.
  const sorted = order.subarray(0, positives).sort((a, b) => row[b] - row[a] || a - b);
  let total = 0;
  for (const j of sorted) total += row[j];
  const target = p * total;
  let mass = 0;
  let kept = 0;
  while (kept < positives && (kept === 0 || mass < target)) mass += row[sorted[kept++]];
  return sorted.subarray(0, kept);
}

/** The nucleus of a row of weights, by its definition. The native kernels find the same set without sorting (`cuda/cpu/nucleus.h`). */

/**
 * The smallest set of the first `n` elements whose mass reaches `p` of theirs, ties to the lower index. Negative and NaN weights
 * count as 0 and are never in it; a row without a positive weight has an empty nucleus.
 *
 * Sums run in float64 over the row sorted in descending order: this is what "reaches p" means to every device.
 *
 * @returns the kept indices, the largest weight's first
 */
export function nucleusOf(row: ArrayLike<number>, n: number, p: number): Uint32Array {
  const order = new Uint32Array(n);
  let positives = 0;
  for (let j = 0; j < n; j++) if (row[j] > 0) order[positives++] = j;
  // Of two infinite weights the difference is NaN: the index decides then too.
  const sorted = order.subarray(0, positives).sort((a, b) => row[b] - row[a] || a - b);
  let total = 0;
  for (const j of sorted) total += row[j];
  const target = p * total;
  let mass = 0;
  let kept = 0;
  while (kept < positives && (kept === 0 || mass < target)) mass += row[sorted[kept++]];
  return sorted.subarray(0, kept);
}

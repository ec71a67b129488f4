/** Chooses the ends and ticks of a chart's axes from the values that it shows. */

/** The ends of a linear axis that holds the values: round numbers a little outside them. */
export function around(values: readonly number[]): [number, number] {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const span = Math.max(high - low, 1e-3 * Math.max(Math.abs(low), Math.abs(high))) || 1;
  const unit = 10 ** Math.floor(Math.log10(span)) / 2;
  return [Math.floor((low - 0.05 * span) / unit) * unit, Math.ceil((high + 0.05 * span) / unit) * unit];
}

/** The ends of a linear axis from 0 to a round number a little above the values. */
export function fromZero(values: readonly number[]): [number, number] {
  const most = Math.max(...values);
  if (!(most > 0)) return [0, 1];
  const unit = 10 ** Math.floor(Math.log10(most));
  const round = [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10].find((factor) => factor * unit >= 1.02 * most) ?? 12;
  return [0, round * unit];
}

/**
 * A logarithmic axis that holds the values. Its ticks are 1, 2 and 5 times powers of ten; over more than three decades
 * only the powers of ten, over a short range also numbers between.
 * @param wider how far the axis goes beyond the values, as a factor
 */
export function logarithmic(
  values: readonly number[],
  wider = 1.15,
): {domain: [number, number]; ticks: number[]} {
  const [low, high] = [Math.min(...values) / wider, Math.max(...values) * wider];
  const decades = Math.log10(high / low);
  const factors = decades > 3 ? [1] : decades > 0.7 ? [1, 2, 5] : [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9];
  const ticks: number[] = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++)
    for (const factor of factors) {
      const tick = Number((factor * 10 ** power).toPrecision(12));
      if (tick >= low && tick <= high) ticks.push(tick);
    }
  return {domain: [low, high], ticks};
}

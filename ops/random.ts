/**
 * Random numbers by hashing and draws by inversion, for composed fallbacks. The native kernels draw the same numbers.
 */

/** The uses of random numbers. Each has a stream of its own, so that no two uses share a number. */
export const RandomStream = {draft: 0, plain: 1, accept: 2, resample: 3} as const;

/** A permutation of 32-bit words: each bit of x changes about half of the result's bits (Wellons, hash-prospector). */
function mix32(x: number): number {
  x ^= x >>> 16;
  x = Math.imul(x, 0x21f0aaad);
  x ^= x >>> 15;
  x = Math.imul(x, 0x735a2d97);
  return x ^ (x >>> 15);
}

/**
 * A random number in [0, 1), a multiple of 2⁻²⁴. It is a hash of its arguments, and so the same on every device.
 * @param seed two 32-bit words
 * @param position of the token in the sequence
 * @param stream a {@link RandomStream}
 */
export function uniform(seed: ArrayLike<number>, position: number, stream: number): number {
  const counter = (Math.imul(position, 4) + stream) | 0;
  return (mix32(seed[0] ^ mix32(seed[1] ^ mix32(counter))) >>> 8) / 2 ** 24;
}

/**
 * Draws by inversion: the first index at which the running sum of `weights` exceeds u times their total, u in [0, 1).
 * Returns −1 if the total is 0. Only positive weights are drawn.
 */
export function draw(weights: ArrayLike<number>, u: number): number {
  let total = 0;
  for (let j = 0; j < weights.length; j++) total += weights[j];
  if (!(total > 0)) return -1;
  let drawn = -1;
  let sum = 0;
  for (let j = 0; j < weights.length; j++) {
    if (!(weights[j] > 0)) continue;
    drawn = j;
    sum += weights[j];
    if (sum > u * total) break;
  }
  return drawn;
}

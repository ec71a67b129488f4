/** Random numbers by hashing, and draws by inversion: the counterpart of `cuda/cpu/random.h`. */

/** What a random number is for; no two uses share one. */
export const RandomStream = {draft: 0, plain: 1, accept: 2, resample: 3} as const;

/** A permutation of 32-bit words in which every bit of x moves half of the result's (Wellons, hash-prospector). */
function mix32(x: number): number {
  x ^= x >>> 16;
  x = Math.imul(x, 0x21f0aaad);
  x ^= x >>> 15;
  x = Math.imul(x, 0x735a2d97);
  return x ^ (x >>> 15);
}

/** In [0, 1), a multiple of 2⁻²⁴: the same on every device for a seed of two words, a position and a {@link RandomStream}. */
export function uniform(seed: ArrayLike<number>, position: number, stream: number): number {
  const counter = (Math.imul(position, 4) + stream) | 0;
  return (mix32(seed[0] ^ mix32(seed[1] ^ mix32(counter))) >>> 8) / 2 ** 24;
}

/**
 * The first index at which the running sum of `weights` exceeds u (in [0, 1)) of their total; −1 where that is 0. Only
 * positive weights are ever drawn.
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

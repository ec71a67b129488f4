/** Pseudo-random numbers that follow from a seed alone, so that an evaluation can be repeated. */

/** A generator (SplitMix32) of numbers in [0, 1); the same arguments give the same numbers. */
export function draws(seed: number, position: number, layer: number): () => number {
  let state =
    (Math.imul(seed, 0x9e3779b1) ^ Math.imul(position, 0x85ebca6b) ^ Math.imul(layer + 1, 0xc2b2ae35)) | 0;
  return () => {
    state = (state + 0x9e3779b9) | 0;
    let z = state ^ (state >>> 16);
    z = Math.imul(z, 0x21f0aaad);
    z ^= z >>> 15;
    z = Math.imul(z, 0x735a2d97);
    return ((z ^ (z >>> 15)) >>> 0) / 2 ** 32;
  };
}

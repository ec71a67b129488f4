/** Random inputs for tests, new in every run. `SPECATTN_TEST_SEED=n` repeats the inputs of a run. */
const SEED = Number(process.env.SPECATTN_TEST_SEED ?? Date.now() % 1e9);

before(() => console.log(`random inputs: SPECATTN_TEST_SEED=${SEED}`));

/**
 * The generator Mulberry32. Its numbers depend only on the run's seed and on `name`, so that a test has the same inputs whichever other
 * tests run.
 */
export class Random {
  private state: number;

  constructor(name: string) {
    this.state = SEED;
    for (const letter of name) this.state = Math.imul(this.state ^ letter.charCodeAt(0), 0x01000193);
  }

  /** Uniform in [0, 1). */
  next(): number {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let x = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state);
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x;
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  }

  /** Uniform in {0 … n − 1}. */
  integer(n: number): number {
    return Math.floor(this.next() * n);
  }

  /** Standard normal. */
  normal(): number {
    return Math.sqrt(-2 * Math.log(1 - this.next())) * Math.cos(2 * Math.PI * this.next());
  }

  normals(n: number, scale = 1): Float32Array {
    return Float32Array.from({length: n}, () => scale * this.normal());
  }

  /** n probabilities shaped like a row of attention weights: a few large ones and a long tail. */
  distribution(n: number, sharpness = 3): Float32Array {
    const weights = Array.from({length: n}, () => Math.exp(sharpness * this.normal()));
    const total = weights.reduce((a, b) => a + b, 0);
    return Float32Array.from(weights, (w) => w / total);
  }
}

/**
 * Every op as loops in float64, written from `docs/architecture.md` alone. The tests compare native kernels and composed fallbacks
 * with these functions.
 */

type Numbers = ArrayLike<number>;

export function rmsNorm(x: Numbers, weight: Numbers, epsilon: number): Float64Array {
  const width = weight.length;
  const y = new Float64Array(x.length);
  for (let row = 0; row < x.length; row += width) {
    let squares = 0;
    for (let e = 0; e < width; e++) squares += x[row + e] ** 2;
    for (let e = 0; e < width; e++)
      y[row + e] = (x[row + e] / Math.sqrt(squares / width + epsilon)) * weight[e];
  }
  return y;
}

export function rotaryEmbedding(
  x: Numbers,
  [rows, heads, size]: number[],
  position: number,
  frequencies: Numbers,
  scale: number,
): Float64Array {
  const y = new Float64Array(x.length);
  for (let t = 0; t < rows; t++) {
    for (let h = 0; h < heads; h++) {
      for (let i = 0; i < size / 2; i++) {
        const angle = Math.fround((position + t) * frequencies[i]); // models are trained with float32 angles
        const [at, pair] = [(t * heads + h) * size + i, (t * heads + h) * size + i + size / 2];
        y[at] = scale * (x[at] * Math.cos(angle) - x[pair] * Math.sin(angle));
        y[pair] = scale * (x[pair] * Math.cos(angle) + x[at] * Math.sin(angle));
      }
    }
  }
  return y;
}

export function kvCacheAppend(
  cache: Numbers,
  [kvHeads, capacity, size]: number[],
  rows: Numbers,
  position: number,
): Float64Array {
  const next = Float64Array.from(cache);
  for (let t = 0; t < rows.length / (kvHeads * size); t++) {
    if (position + t >= capacity) continue;
    for (let g = 0; g < kvHeads; g++)
      for (let d = 0; d < size; d++)
        next[(g * capacity + position + t) * size + d] = rows[(t * kvHeads + g) * size + d];
  }
  return next;
}

/** The keys that row t sees in KV head g, in any order. */
export type Visible = (t: number, g: number) => number[];

export const causal =
  (position: number, capacity: number, window = Infinity): Visible =>
  (t) =>
    Array.from({length: Math.min(capacity, position + t + 1)}, (_, j) => j).filter(
      (j) => j > position + t - window,
    );

/** Attention of q [T,H,D] over k and v [G,C,D]: out [T,H,D] and the weights of every head [H,T,C]. */
export function attention(
  q: Numbers,
  [rows, heads, size]: number[],
  k: Numbers,
  v: Numbers,
  [kvHeads, capacity]: number[],
  scale: number,
  visible: Visible,
): {out: Float64Array; weights: Float64Array} {
  const out = new Float64Array(q.length);
  const weights = new Float64Array(heads * rows * capacity);
  for (let t = 0; t < rows; t++) {
    for (let h = 0; h < heads; h++) {
      const g = Math.floor(h / (heads / kvHeads));
      const keys = visible(t, g);
      const scores = keys.map((j) => {
        let dot = 0;
        for (let d = 0; d < size; d++)
          dot += q[(t * heads + h) * size + d] * k[(g * capacity + j) * size + d];
        return scale * dot;
      });
      if (keys.length === 0) continue;
      const max = Math.max(...scores);
      const exps = scores.map((score) => Math.exp(score - max));
      const sum = exps.reduce((a, b) => a + b, 0);
      keys.forEach((j, n) => {
        weights[(h * rows + t) * capacity + j] = exps[n] / sum;
        for (let d = 0; d < size; d++)
          out[(t * heads + h) * size + d] += (exps[n] / sum) * v[(g * capacity + j) * size + d];
      });
    }
  }
  return {out, weights};
}

/** The mean over heads of weights [H,T,C]: [T,C]. */
export function meanOverHeads(weights: Numbers, heads: number): Float64Array {
  const size = weights.length / heads;
  const mean = new Float64Array(size);
  for (let i = 0; i < weights.length; i++) mean[i % size] += weights[i] / heads;
  return mean;
}

/** The nucleus of the first n weights: takes the largest ones, ties by index, until they sum to p of the total. */
export function nucleus(row: Numbers, n: number, p: number): Set<number> {
  const left = Array.from({length: n}, (_, j) => j)
    .filter((j) => row[j] > 0)
    .sort((a, b) => (row[a] === row[b] ? a - b : row[b] > row[a] ? 1 : -1));
  const total = left.reduce((sum, j) => sum + row[j], 0);
  const kept = new Set<number>();
  let mass = 0;
  for (const j of left) {
    if (kept.size > 0 && mass >= p * total) break;
    kept.add(j);
    mass += row[j];
  }
  return kept;
}

export interface SelectOptions {
  sinks: number;
  recent: number;
  union: 'row' | 'causal' | 'full';
}

/** NucleusSelect for one set: the keys that each row of the block sees. `steps` holds the set's mixed weights [C] of each step. */
export function select(
  steps: Numbers[],
  p: number,
  position: number,
  {sinks, recent, union}: SelectOptions,
): Set<number>[] {
  const capacity = steps[0].length;
  const nuclei = steps.map((step, i) => {
    const visible = Math.min(capacity, position + i + 1);
    return p >= 1 ? new Set(Array(visible).keys()) : nucleus(step, visible, p);
  });
  return Array.from({length: steps.length + 1}, (_, row) => {
    const step = Math.min(row, steps.length - 1);
    const used = nuclei.filter((_, i) => union === 'full' || (union === 'causal' ? i <= step : i === step));
    const keys = new Set<number>();
    for (let key = 0; key <= position + row && key < capacity; key++) {
      const chosen = used.some((set) => set.has(key));
      if (chosen || key < sinks || key > position + row - recent || key >= position) keys.add(key);
    }
    return keys;
  });
}

export function swiGLU(x: Numbers, width: number): Float64Array {
  const y = new Float64Array(x.length / 2);
  for (let i = 0; i < y.length; i++) {
    const at = Math.floor(i / width) * 2 * width + (i % width);
    y[i] = (x[at] / (1 + Math.exp(-x[at]))) * x[at + width];
  }
  return y;
}

export interface Filters {
  temperature: number;
  topK: number;
  topP: number;
  minP: number;
}

/** softmax(logits / temperature) after the filters top-k, top-p and min-p. */
export function distribution(logits: Numbers, {temperature, topK, topP, minP}: Filters): Float64Array {
  const order = Array.from(logits, (_, j) => j).sort((a, b) => logits[b] - logits[a] || a - b);
  const weights = new Float64Array(logits.length);
  if (temperature === 0) {
    weights[order[0]] = 1;
    return weights;
  }
  for (const j of topK > 0 ? order.slice(0, topK) : order)
    weights[j] = Math.exp((logits[j] - logits[order[0]]) / temperature);
  const kept = topP < 1 ? nucleus(weights, weights.length, topP) : undefined;
  for (const j of order) if ((kept && !kept.has(j)) || weights[j] < minP) weights[j] = 0;
  const total = weights.reduce((a, b) => a + b, 0);
  return weights.map((w) => w / total);
}

/** The random number in [0, 1) of (seed, position, stream), computed with integers of arbitrary precision. */
export function uniform(seed: Numbers, position: number, stream: number): number {
  const word = (x: bigint): bigint => BigInt.asUintN(32, x);
  const mix32 = (x: bigint): bigint => {
    x ^= x >> 16n;
    x = word(x * 0x21f0aaadn);
    x ^= x >> 15n;
    x = word(x * 0x735a2d97n);
    return x ^ (x >> 15n);
  };
  const [high, low] = [word(BigInt(seed[0])), word(BigInt(seed[1]))];
  const h = mix32(high ^ mix32(low ^ mix32(word(BigInt(position) * 4n + BigInt(stream)))));
  return Number(h >> 8n) / 2 ** 24;
}

/** A draw by inversion: the token, and the distance of u to the nearest boundary between two tokens. */
export function draw(weights: Numbers, u: number): {token: number; margin: number} {
  const total = Array.from(weights).reduce((a, b) => a + b, 0);
  let [token, sum, margin] = [-1, 0, Infinity];
  for (let j = 0; j < weights.length; j++) {
    sum += weights[j];
    margin = Math.min(margin, Math.abs(sum / total - u) || Infinity);
    if (token < 0 && sum > u * total) token = j;
  }
  return {token, margin};
}

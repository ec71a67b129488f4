/** The op SampleToken turns each row of logits into a distribution and draws a token from it. */
import * as tf from '@tensorflow/tfjs-core';
import type {Tensor, Tensor1D, Tensor2D} from '@tensorflow/tfjs-core';

import {checkValue, real, type Check} from '../backend/check.js';
import {ANY, checkPosition, checkSeed, checkTensor, COUNT, MASS} from './check.js';
import {defineOp, launch} from './define_op.js';
import {nucleusOf} from './nucleus.js';
import {draw, RandomStream, uniform} from './random.js';

const name = 'SampleToken';
const TEMPERATURE = real((value) => value >= 0 && value <= 3.4e38, '0 to 3.4e38');
const MIN_P = real((value) => value >= 0 && value <= 1, 'in [0, 1]');
const STREAM: Check = [(value) => [0, 1, 2, 3].includes(value as number), '0, 1, 2 or 3'];

export interface SampleTokenOptions {
  /** Divides the logits; 1 by default. 0 always takes the most likely token. */
  temperature?: number;
  /** Keeps the k most likely tokens; 0, the default, keeps all tokens. */
  topK?: number;
  /**
   * Keeps the smallest set of tokens whose probabilities sum to at least this, in (0, 1]; 1, the default, keeps all
   * tokens.
   */
  topP?: number;
  /**
   * Keeps tokens whose probability is at least this times that of the most likely token, in [0, 1]; 0, the default,
   * keeps all tokens.
   */
  minP?: number;
  /**
   * float32 [4]: temperature, topK, topP and minP, in place of the four options above. A captured step reads its options
   * from this tensor, so that one capture serves every answer: the next answer overwrites the tensor. Nothing checks the
   * numbers on the device: a number out of its range counts as the nearest one in it, and NaN as the filter turned off
   * (as temperature 0).
   */
  settings?: Tensor;
  /** The stream of random numbers: 0 for draft tokens, 1 (the default) for plain decoding; see {@link RandomStream}. */
  stream?: number;
}

type Attrs = Required<Omit<SampleTokenOptions, 'settings'>>;
type Filters = Omit<Attrs, 'stream'>;

const run = defineOp<Attrs>({
  name,
  attrs: {temperature: 1, topK: 0, topP: 1, minP: 0, stream: RandomStream.plain},

  check([logits, seed, position, settings], {temperature, topK, topP, minP, stream}) {
    checkTensor(name, 'logits', logits, 'float32', [ANY, ANY]);
    if (logits.shape[1] === 0) throw new Error(`[${name}] logits must have at least one column but has none`);
    checkSeed(name, seed);
    checkPosition(name, position);
    if (settings) checkTensor(name, 'settings', settings, 'float32', [4]);
    checkValue(name, 'temperature', temperature, TEMPERATURE);
    checkValue(name, 'topK', topK, COUNT);
    checkValue(name, 'topP', topP, MASS);
    checkValue(name, 'minP', minP, MIN_P);
    checkValue(name, 'stream', stream, STREAM);
  },

  native(backend, inputs, {temperature, topK, topP, minP, stream}) {
    const {shape} = inputs[0];
    const attrs = [temperature, topK, topP, minP, stream];
    return launch(
      backend,
      name,
      inputs,
      [
        [[shape[0]], 'int32'],
        [shape, 'float32'],
      ],
      attrs,
    );
  },

  // tfjs-core has neither a hash of 32-bit words nor float64, so the logits are read to the host.
  composed([logits, seed, position, ...[settings]]: [Tensor2D, Tensor1D, Tensor1D, ...Tensor1D[]], attrs) {
    const [rows, vocabulary] = logits.shape;
    const values = logits.dataSync() as Float32Array;
    const filters = settings ? filtersOf(settings.dataSync() as Float32Array) : attrs;
    const [words, start] = [seed.dataSync(), position.dataSync()[0]];
    const tokens = new Int32Array(rows);
    const probabilities = new Float32Array(rows * vocabulary);
    for (let t = 0; t < rows; t++) {
      const row = values.subarray(t * vocabulary, (t + 1) * vocabulary);
      const out = probabilities.subarray(t * vocabulary, (t + 1) * vocabulary);
      // draw gives -1 where nothing has a probability
      distribution(row, filters, out);
      tokens[t] = draw(out, uniform(words, start + t, attrs.stream));
    }
    return [tf.tensor1d(tokens, 'int32'), tf.tensor2d(probabilities, [rows, vocabulary])];
  },
});

/** The filters that settings [4] ask for. A number out of its range counts as the nearest one in it, NaN as the filter turned off. */
function filtersOf([temperature, topK, topP, minP]: Float32Array): Filters {
  return {
    temperature: temperature > 0 ? Math.min(temperature, 3.4e38) : 0,
    topK: topK >= 1 ? Math.floor(Math.min(topK, 2 ** 31 - 1)) : 0,
    topP: topP < 1 ? Math.max(topP, 1e-30) : 1,
    minP: minP > 0 ? Math.min(minP, 1) : 0,
  };
}

/** Writes the distribution after the filters to `out`, which must hold zeros. */
function distribution(
  logits: Float32Array,
  {temperature, topK, topP, minP}: Filters,
  out: Float32Array,
): void {
  let best = 0;
  let largest = -Infinity;
  for (let j = 0; j < logits.length; j++) if (logits[j] > largest) largest = logits[(best = j)];
  if (largest === -Infinity) return;
  if (temperature === 0) {
    out[best] = 1;
    return;
  }
  // The largest logit has the weight 1, even if it is infinite. NaN logits count as −∞.
  for (let j = 0; j < logits.length; j++)
    out[j] = logits[j] === largest ? 1 : Math.exp((logits[j] - largest) / temperature) || 0;
  if (topK > 0 && topK < out.length) keepOnly(out, nucleusOf(out, out.length, 1).subarray(0, topK));
  if (topP < 1) keepOnly(out, nucleusOf(out, out.length, topP));
  let total = 0;
  for (let j = 0; j < out.length; j++) {
    if (out[j] < Math.fround(minP)) out[j] = 0;
    total += out[j];
  }
  for (let j = 0; j < out.length; j++) out[j] /= total;
}

function keepOnly(weights: Float32Array, indices: Uint32Array): void {
  const kept = Float32Array.from(indices, (j) => weights[j]);
  weights.fill(0);
  indices.forEach((j, n) => (weights[j] = kept[n]));
}

/**
 * Draws a token from each row of logits and returns the distribution that it was drawn from: softmax(logits /
 * temperature), then the filters top-k, top-p and min-p, in this order. Ties go to the lower index. NaN logits count as
 * −∞. A row without any other logit has no distribution: it gives the token −1 and probabilities of 0.
 *
 * The draw is by inversion with a hash of (seed, position + t, stream): a seed reproduces its tokens on every device,
 * and a row's token does not depend on the other rows.
 *
 * ```ts
 * const seed = tf.tensor1d([42, 0], 'int32');
 * const {token} = sampleToken(tf.tensor2d([[0, 5, 1]]), seed, tf.tensor1d([7], 'int32'), {temperature: 0});
 * token.print(); // [1]
 * ```
 *
 * Source: top-p: Holtzman et al., arXiv 1904.09751; min-p: Nguyen et al., arXiv 2407.01082.
 *
 * @param logits float32 [T,V]
 * @param seed int32 [2]
 * @param position int32 [1]: the position of row 0 in the sequence
 * @returns token int32 [T] and probabilities float32 [T,V]
 * @throws Error naming the op and the argument, if a shape, a dtype or an option does not fit
 */
export function sampleToken(
  logits: Tensor,
  seed: Tensor,
  position: Tensor,
  {settings, ...options}: SampleTokenOptions = {},
): {token: Tensor1D; probabilities: Tensor2D} {
  const inputs = settings ? [logits, seed, position, settings] : [logits, seed, position];
  const [token, probabilities] = run(inputs, options) as Tensor[];
  return {token: token as Tensor1D, probabilities: probabilities as Tensor2D};
}

import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';

import {linear, rmsNorm, swiGLU, type LinearOptions} from '../../ops/index.js';
import {SAME_BITS_ROWS, forEachBackend, isCuda, onBackend} from '../backends.js';
import {expectClose, expectSame, expectSameOnCpu, meanError} from '../compare.js';
import {Random} from '../random.js';
import * as reference from '../reference.js';
import {narrow, widen} from '../storage.js';

const EPSILON = 1e-4;

/** Every combination of the parts that Linear can fuse. */
const COMBINATIONS = Array.from({length: 16}, (_, i) => ({
  norm: (i & 1) > 0,
  bias: (i & 2) > 0,
  gated: (i & 4) > 0,
  residual: (i & 8) > 0,
}));
type Combination = (typeof COMBINATIONS)[number];

const EVERYTHING: Combination = {norm: true, bias: true, gated: true, residual: true};

const words = (combination: Combination): string =>
  Object.entries(combination)
    .flatMap(([name, there]) => (there ? [name] : []))
    .join(', ') || 'the product alone';

/** Random inputs; weights are scaled so that products have a magnitude of about 1. */
function inputsOf(rows: number, inner: number, cols: number, {norm, bias, gated, residual}: Combination) {
  const random = new Random(`Linear ${rows} ${inner} ${cols}`);
  const tensor = (scale: number, ...shape: number[]) =>
    tf.tensor(random.normals(tf.util.sizeFromShape(shape), scale), shape);
  const x = tensor(2, rows, inner);
  const weight = tensor(1 / Math.sqrt(inner), cols, inner);
  const options: LinearOptions = {
    ...(norm && {norm: tensor(1, inner)}),
    ...(bias && {bias: tensor(1, cols)}),
    ...(residual && {residual: tensor(1, rows, gated ? cols / 2 : cols)}),
    gated,
    epsilon: EPSILON,
  };
  return {x, weight, options};
}

/** The reference result, computed in float64. */
function expectedOf(x: tf.Tensor, weight: tf.Tensor, {norm, bias, residual, gated}: LinearOptions) {
  const [rows, inner] = x.shape;
  const [cols] = weight.shape;
  const values = {x: x.dataSync(), weight: weight.dataSync(), bias: bias?.dataSync()};
  const a = norm ? reference.rmsNorm(values.x, norm.dataSync(), EPSILON) : values.x;
  const product = new Float64Array(rows * cols);
  for (let t = 0; t < rows; t++)
    for (let c = 0; c < cols; c++) {
      let sum = values.bias?.[c] ?? 0;
      for (let k = 0; k < inner; k++) sum += a[t * inner + k] * values.weight[c * inner + k];
      product[t * cols + c] = sum;
    }
  const y = gated ? reference.swiGLU(product, cols / 2) : product;
  const add = residual?.dataSync();
  return add ? y.map((value, i) => value + add[i]) : y;
}

/** Allows for the rounding of a float32 sum of K products. */
const TOLERANCE = {relative: 1e-5, absolute: 1e-5};

forEachBackend('Linear', () => {
  for (const combination of COMBINATIONS)
    it(`equals the reference: ${words(combination)}`, () => {
      const {x, weight, options} = inputsOf(5, 111, 62, combination);
      const y = linear(x, weight, options);
      expect(y.shape).to.deep.equal([5, combination.gated ? 31 : 62]);
      expectClose(y.dataSync(), expectedOf(x, weight, options), TOLERANCE);
    });

  for (const [rows, inner, cols] of [
    [1, 1, 2],
    [1, 7, 6],
    [5, 33, 70],
    [17, 31, 34],
    [40, 160, 30],
    [1, 989, 130],
    [3, 64, 514],
  ])
    it(`equals the reference on [${rows},${inner}] · [${cols},${inner}]ᵀ`, () => {
      for (const gated of [false, true]) {
        const {x, weight, options} = inputsOf(rows, inner, cols, {...EVERYTHING, gated});
        expectClose(linear(x, weight, options).dataSync(), expectedOf(x, weight, options), TOLERANCE);
      }
    });

  it('gives an empty tensor for no rows or no columns, and bias plus residual for an inner size of 0', () => {
    for (const gated of [false, true]) {
      const {x, weight, options} = inputsOf(0, 8, 6, {...EVERYTHING, gated});
      expect(linear(x, weight, options).shape).to.deep.equal([0, gated ? 3 : 6]);
      expect(linear(tf.ones([3, 8]), tf.ones([0, 8]), {gated}).shape).to.deep.equal([3, 0]);
    }
    const residual = tf.tensor2d([[1, 2]]);
    const sum = linear(tf.zeros([1, 0]), tf.zeros([2, 0]), {bias: tf.tensor1d([3, 4]), residual});
    expectSame(sum.dataSync(), [4, 6]);
  });

  it('spoils no other row or column with NaN or infinity', () => {
    const x = tf.tensor2d([1, NaN, 1, 2, Infinity, 1], [3, 2]);
    const weight = tf.tensor2d([1, 1, 1, -1, 0.5, 2, NaN, 1], [4, 2]);
    for (const gated of [false, true]) {
      const options = {norm: tf.ones([2]), gated, epsilon: EPSILON};
      expectClose(linear(x, weight, options).dataSync(), expectedOf(x, weight, options), TOLERANCE);
    }
  });

  it('names the argument that does not fit', () => {
    const [x, weight] = [tf.zeros([2, 8]), tf.zeros([6, 8])];
    expect(() => linear(tf.zeros([8]), weight)).to.throw('[Linear] x must have shape [?,?] but has [8]');
    expect(() => linear(x, tf.zeros([6, 7]))).to.throw('[Linear] weight must have shape [?,8] but has [6,7]');
    expect(() => linear(x, tf.zeros([5, 8]), {gated: true})).to.throw(
      '[Linear] weight must have an even number of rows (gate, up) but has 5',
    );
    expect(() => linear(x, weight, {norm: tf.zeros([6])})).to.throw(
      '[Linear] norm must have shape [8] but has [6]',
    );
    expect(() => linear(x, weight, {bias: tf.zeros([3]), gated: true})).to.throw(
      '[Linear] bias must have shape [6] but has [3]',
    );
    expect(() => linear(x, weight, {residual: tf.zeros([2, 6]), gated: true})).to.throw(
      '[Linear] residual must have shape [2,3] but has [2,6]',
    );
    expect(() => linear(x, weight, {bias: tf.zeros([6], 'int32')})).to.throw(
      '[Linear] bias must be float32 but is int32',
    );
    expect(() => linear(x, weight, {epsilon: NaN})).to.throw('[Linear] epsilon must be 0 or more but is NaN');
  });
});

onBackend('specattn', 'Linear, natively,', () => {
  const [ROWS, MANY_ROWS] = [40, 150];
  /** Inner size and columns. On CUDA the tensor cores take only multiples of 8. */
  const SIZES = [
    [320, 144],
    [1032, 32],
    [72, 48],
    [320, 134],
    [33, 30],
    [7, 4],
    [1, 2],
  ];
  /**
   * Tolerances on CUDA. The skinny GEMM (`few` rows) splits an activation into two numbers of the weights' type; two bfloat16 numbers
   * keep 16 bits. The GEMM (`many` rows) rounds activations to the weights' type. The relative error of this rounding is at most 2^-9
   * for bfloat16 and 2^-12 for float16; a gate multiplies it by a few.
   */
  const ON_CUDA = {
    float32: {few: {relative: 3e-5, absolute: 3e-5}, many: 2e-6},
    bfloat16: {few: {relative: 4e-4, absolute: 4e-4}, many: 2 ** -6},
    float16: {few: {relative: 5e-5, absolute: 5e-5}, many: 2 ** -9},
  };

  for (const storage of ['float32', 'bfloat16', 'float16'] as const) {
    const stored = <T extends tf.Tensor>(x: T) => (storage === 'float32' ? x : narrow(x, storage));
    const {few, many} = ON_CUDA[storage];

    it(`reads weights stored as ${storage} as the values they stand for`, () => {
      for (const [inner, cols] of SIZES)
        for (const combination of COMBINATIONS)
          for (const rows of [SAME_BITS_ROWS, MANY_ROWS]) {
            const {x, weight, options} = inputsOf(rows, inner, cols, combination);
            const narrowed = stored(weight);
            const expected = expectedOf(x, narrowed, options);
            const y = linear(x, narrowed, options).dataSync();
            if (!isCuda()) expectClose(y, expected, TOLERANCE);
            else if (rows <= SAME_BITS_ROWS) expectClose(y, expected, few);
            else expect(meanError(y, expected), `${rows} rows, ${words(combination)}`).to.be.below(many);
          }
    });

    it(`equals the ops that it is made of, and gives a row the same bits in any block: ${storage}`, () => {
      const rows = isCuda() && storage !== 'float32' ? SAME_BITS_ROWS : ROWS;
      for (const [inner, cols] of SIZES)
        for (const combination of COMBINATIONS) {
          const {x, weight: wide, options} = inputsOf(rows, inner, cols, combination);
          const weight = stored(wide);
          const all = linear(x, weight, options);
          const normed = options.norm ? rmsNorm(x, options.norm, EPSILON) : x;
          let y: tf.Tensor = tf.matMul(normed as tf.Tensor2D, weight as tf.Tensor2D, false, true);
          if (options.bias) y = tf.add(y, options.bias);
          if (combination.gated) y = swiGLU(y);
          if (options.residual) y = tf.add(y, options.residual);
          expectSameOnCpu(all.dataSync(), y.dataSync(), few);

          for (const block of [1, 5, 17]) {
            const at = [rows - block, 0];
            const {residual} = options;
            const alone = linear(tf.slice(x, at, [block, inner]), weight, {
              ...options,
              ...(residual && {residual: tf.slice(residual, at, [block, residual.shape[1]!])}),
            });
            expectSame(alone.dataSync(), tf.slice(all, at, alone.shape).dataSync());
          }
        }
    });
  }

  it('reads every other input in any storage', () => {
    const {x, weight, options} = inputsOf(3, 40, 12, EVERYTHING);
    const narrowed = {
      norm: narrow(options.norm!, 'bfloat16'),
      bias: narrow(options.bias!, 'float16'),
      residual: narrow(options.residual!, 'bfloat16'),
    };
    const wide = {
      norm: widen(narrowed.norm),
      bias: widen(narrowed.bias),
      residual: widen(narrowed.residual),
    };
    const rows = narrow(x, 'bfloat16');
    expectSame(
      linear(rows, weight, {...options, ...narrowed}).dataSync(),
      linear(widen(rows), weight, {...options, ...wide}).dataSync(),
    );
  });
});

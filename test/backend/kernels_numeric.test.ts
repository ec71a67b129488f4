import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';

import {REDUCE} from '../../backend/kernels/functions.js';
import {describeNative, DTYPES, expectSame, kernel, tensor, type DType} from './kernels.js';

const SHAPES_AND_AXES: [number[], (number[] | null)[]][] = [
  [[], [[], null]],
  [[1], [[0]]],
  [[33], [[0]]],
  [[989], [null]],
  [
    [31, 33],
    [[0], [1], [-1], null],
  ],
  [
    [111, 1],
    [[0], [1]],
  ],
  [
    [5, 6, 7],
    [[0], [1], [2], [0, 2], [1, 2], [0, 1], null],
  ],
  [
    [2, 3, 4, 5],
    [
      [1, 3],
      [0, 2],
      [1, 2],
      [3, 0],
    ],
  ],
  [
    [2, 2, 3, 2, 4],
    [
      [0, 3],
      [1, 2, 4],
    ],
  ],
  [
    [0, 3],
    [[0], [1]],
  ],
  [
    [3, 0],
    [[1], [0]],
  ],
];

describeNative('reductions', () => {
  for (const name of REDUCE) {
    const logical = name === 'Any' || name === 'All';
    const reduce = (x: tf.Tensor, axes: number[] | null, keepDims = false) =>
      kernel(name, {x}, name === 'Max' ? {reductionIndices: axes, keepDims} : {axis: axes, keepDims});
    const spread = (dtype: DType) => (name === 'Prod' ? (dtype === 'int32' ? 2 : 1.5) : 8);

    for (const dtype of logical ? (['bool'] as const) : DTYPES) {
      it(`${name} of ${dtype}`, async () => {
        for (const [shape, choices] of SHAPES_AND_AXES)
          for (const axes of choices)
            for (const keepDims of [false, true])
              await expectSame(() => reduce(tensor(shape, dtype, {spread: spread(dtype)}), axes, keepDims), {
                absolute: 3e-6,
              });
      });
    }

    if (!logical)
      it(`${name} of NaN and infinities`, () =>
        expectSame(() => {
          const x = tf.tensor2d(
            [1, NaN, 3, NaN, 1, 2, 1, 2, NaN, 1, Infinity, 2, -Infinity, 1, Infinity],
            [5, 3],
          );
          return [reduce(x, [1]), reduce(x, [0]), reduce(x, null)];
        }));
  }

  it('sums and products of integers are exact, modulo 2^32', () => {
    const factors = Int32Array.from({length: 41}, (_, i) => (i % 2 ? -1 : 1) * (3 + 2 * i));
    const product = [...factors].reduce((all, x) => BigInt.asIntN(32, all * BigInt(x)), 1n);
    expect(tf.prod(tf.tensor1d(factors, 'int32')).dataSync()[0]).to.equal(Number(product));
    const tiled = tf.tile(tf.tensor2d(factors, [41, 1], 'int32'), [1, 70]);
    expect(new Set(tf.prod(tiled, 0).dataSync())).to.deep.equal(new Set([Number(product)]));
    const count = 2 ** 22 + 3;
    const sum = BigInt.asIntN(32, BigInt(count) * (2n ** 31n - 1n));
    expect(tf.sum(tf.fill([count], 2 ** 31 - 1, 'int32')).dataSync()[0]).to.equal(Number(sum));
  });

  it('reduces long runs with several threads', async () => {
    for (const axes of [[0], [1], [0, 1]])
      await expectSame(() => [
        tf.sum(tensor([3, 70001]), axes),
        tf.max(tensor([3, 70001]), axes),
        tf.mean(tensor([70001, 3]), axes),
      ]);
    await expectSame(() => tf.sum(tensor([300001], 'int32', {spread: 30000})));
  });
});

describeNative('ArgMax and ArgMin', () => {
  for (const dtype of DTYPES)
    it(dtype, async () => {
      for (const shape of [[1], [33], [31, 33], [5, 6, 7], [2, 3, 2, 4], [3, 989]])
        for (let axis = -1; axis < shape.length; axis++)
          await expectSame(() => [
            tf.argMax(tensor(shape, dtype), axis),
            tf.argMin(tensor(shape, dtype, {seed: 3}), axis),
          ]);
      await expectSame(() => tf.argMax(tensor([0, 3], dtype), 1));
    });

  it('of NaN and infinities', () =>
    expectSame(() => {
      const x = tf.tensor2d([NaN, 1, 2, 1, NaN, 2, Infinity, 1, Infinity, -Infinity, -Infinity, NaN], [4, 3]);
      return [tf.argMax(x, 1), tf.argMin(x, 1), tf.argMax(x, 0), tf.argMin(x, 0)];
    }));
});

describeNative('TopK', () => {
  for (const dtype of DTYPES)
    it(dtype, async () => {
      for (const shape of [[1], [33], [5, 31], [2, 3, 111], [2, 989]]) {
        const n = shape[shape.length - 1];
        for (const k of new Set([0, 1, Math.min(5, n), n]))
          await expectSame(() => {
            const {values, indices} = tf.topk(tensor(shape, dtype), k);
            return [values, indices];
          });
      }
    });

  it('puts NaN last', async () => {
    await tf.setBackend('specattn');
    const {indices} = tf.topk(tf.tensor1d([NaN, 1, Infinity, NaN, -Infinity]), 5);
    expect(Array.from(indices.dataSync())).to.deep.equal([2, 1, 4, 0, 3]);
  });
});

describeNative('Softmax and LogSoftmax', () => {
  it('of every size', async () => {
    for (const shape of [[1], [31], [33], [5, 111], [2, 3, 989], [0, 3], [2, 2, 2, 2, 7]])
      await expectSame(
        () => [tf.softmax(tensor(shape, 'float32', {spread: 30})), tf.logSoftmax(tensor(shape))],
        {absolute: 4e-6},
      );
  });

  it('of NaN and infinities', () =>
    expectSame(() => {
      const [inf, low] = [Infinity, -Infinity];
      return tf.softmax(
        tf.tensor2d([1, 2, NaN, 1, inf, 2, low, 1, 2, low, low, low, 1e30, 1, low, NaN, low, low], [6, 3]),
      );
    }));

  it('LogSoftmax in one launch equals the composed op', async () => {
    await tf.setBackend('specattn');
    const x = tensor([7, 33]);
    const native = kernel('LogSoftmax', {logits: x}, {axis: -1});
    const apart = tf.max(tf.abs(tf.sub(native, tf.logSoftmax(x)))).dataSync()[0];
    expect(apart).to.be.below(2e-6);
  });
});

describeNative('Cumsum and Cumprod', () => {
  for (const dtype of DTYPES)
    it(dtype, async () => {
      for (const shape of [[1], [33], [5, 31], [3, 4, 5], [2, 2, 3, 2, 2], [0, 2]])
        for (let axis = 0; axis < shape.length; axis++)
          for (const [exclusive, reverse] of [
            [false, false],
            [true, false],
            [false, true],
            [true, true],
          ])
            await expectSame(
              () => [
                tf.cumsum(tensor(shape, dtype), axis, exclusive, reverse),
                tf.cumprod(tensor(shape, dtype, {spread: 1.4}), axis, exclusive, reverse),
              ],
              {absolute: 2e-5, relative: 1e-5},
            );
    });
});

describeNative('BatchMatMul and _FusedMatMul', () => {
  const bound = {absolute: 1e-5, relative: 1e-5};
  const matrix = (shape: number[], seed: number) => tensor(shape, 'float32', {spread: 1, seed});

  it('in every orientation', async () => {
    for (const [m, k, n] of [
      [1, 1, 1],
      [1, 33, 111],
      [5, 111, 31],
      [33, 31, 1],
      [31, 64, 33],
      [0, 3, 2],
      [3, 0, 2],
    ])
      for (const transposeA of [false, true])
        for (const transposeB of [false, true])
          await expectSame(
            () =>
              tf.matMul(
                matrix(transposeA ? [k, m] : [m, k], 1),
                matrix(transposeB ? [n, k] : [k, n], 2),
                transposeA,
                transposeB,
              ),
            bound,
          );
  });

  it('in batches', async () => {
    for (const [a, b] of [
      [
        [3, 4, 5],
        [3, 5, 6],
      ],
      [
        [1, 4, 5],
        [3, 5, 6],
      ],
      [
        [3, 4, 5],
        [1, 5, 6],
      ],
      [
        [2, 3, 4, 5],
        [2, 3, 5, 6],
      ],
      [
        [1, 1, 4, 5],
        [2, 3, 5, 6],
      ],
    ])
      await expectSame(() => tf.matMul(matrix(a, 1), matrix(b, 2)), bound);
    await expectSame(() => tf.matMul(tensor([3, 4], 'int32'), tensor([4, 5], 'int32')));
  });

  it('of few rows and many columns; a row has the same bits alone and among others', async () => {
    const columns = 140_001;
    for (const [a, b, transposeA] of [
      [[1, 1, 6], [3, 6, 50_011], false],
      [[4, 9], [9, columns], false],
      [[9, 3], [9, columns], true],
      [[2, 3, 2], [1, 2, columns], false],
    ] as [number[], number[], boolean][])
      await expectSame(() => tf.matMul(matrix(a, 1), matrix(b, 2), transposeA), bound);
    await expectSame(
      () =>
        tf.fused.matMul({
          a: matrix([2, 5], 1),
          b: matrix([5, columns], 2),
          bias: matrix([columns], 3),
          activation: 'relu',
        }),
      bound,
    );
    await tf.setBackend('specattn');
    const [a, b] = [matrix([7, 33], 1) as tf.Tensor2D, matrix([33, columns], 2) as tf.Tensor2D];
    const together = tf.matMul(a, b);
    for (const [first, count] of [
      [0, 1],
      [2, 3],
      [3, 4],
    ])
      expect(
        Buffer.from(tf.matMul(tf.slice(a, [first, 0], [count, 33]), b).dataSync().buffer).equals(
          Buffer.from(tf.slice(together, [first, 0], [count, columns]).dataSync().buffer),
        ),
        `rows ${first} and ${count - 1} after it`,
      ).to.equal(true);
  });

  it('broadcasts some of several batch dimensions', async () => {
    await tf.setBackend('specattn'); // tfjs-backend-cpu pairs the wrong matrices here
    const [a, b] = [tensor([2, 1, 3, 4]), tensor([1, 3, 4, 5], 'float32', {seed: 2})];
    const product = tf.matMul(a, b);
    const tiled = tf.matMul(tf.tile(a, [1, 3, 1, 1]), tf.tile(b, [2, 1, 1, 1]));
    expect(product.shape).to.deep.equal([2, 3, 3, 5]);
    expect(Array.from(product.dataSync())).to.deep.equal(Array.from(tiled.dataSync()));
  });

  it('with bias and activation', async () => {
    for (const activation of ['linear', 'relu', 'relu6', 'elu', 'sigmoid', 'leakyrelu', 'prelu'] as const)
      for (const bias of [undefined, [], [6], [4, 1], [4, 6]])
        await expectSame(
          () =>
            tf.fused.matMul({
              a: tensor([4, 5], 'float32', {spread: 1}),
              b: tensor([5, 6], 'float32', {spread: 1, seed: 2}),
              bias: bias && tensor(bias, 'float32', {seed: 3}),
              activation,
              preluActivationWeights: activation === 'prelu' ? tensor([6], 'float32', {seed: 4}) : undefined,
              leakyreluAlpha: 0.3,
            }),
          bound,
        );
  });
});

describeNative('Multinomial', () => {
  const draw = (probabilities: number[][], samples: number, seed: number, normalized: boolean) => {
    const p = tf.tensor2d(probabilities);
    return tf.multinomial(normalized ? p : tf.log(p), samples, seed, normalized) as tf.Tensor2D;
  };
  const rows = [
    [0.1, 0.2, 0.3, 0.4],
    [0.7, 0, 0.3, 0],
  ];

  it('draws as often as the weights say', async () => {
    await tf.setBackend('specattn');
    for (const normalized of [true, false]) {
      const samples = draw(rows, 20000, 3, normalized).arraySync();
      rows.forEach((row, r) =>
        row.forEach((p, event) => {
          const share = samples[r].filter((x) => x === event).length / 20000;
          expect(Math.abs(share - p)).to.be.at.most(4 * Math.sqrt((p * (1 - p)) / 20000));
        }),
      );
    }
  });

  it('gives the same draws for the same seed, and others for another', async () => {
    await tf.setBackend('specattn');
    const [a, b, c] = [5, 5, 6].map((seed) => Array.from(draw(rows, 100, seed, true).dataSync()));
    expect(a).to.deep.equal(b);
    expect(a).not.to.deep.equal(c);
  });

  it('draws rows independently', async () => {
    await tf.setBackend('specattn');
    const [a, b] = draw([rows[0], rows[0]], 1000, 9, true).arraySync();
    const equal = a.filter((x, i) => x === b[i]).length / 1000; // Σ p² = 0.3
    expect(equal).to.be.within(0.24, 0.36);
  });

  it('gives an event in range where probabilities do not sum to 1', async () => {
    await tf.setBackend('specattn');
    const samples = draw([[0.1, 0.1, 0.1]], 500, 1, true).dataSync();
    expect(Math.max(...samples)).to.equal(2);
  });
});

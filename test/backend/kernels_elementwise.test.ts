import {readFileSync} from 'node:fs';
import path from 'node:path';

import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';

import {packageRoot} from '../../backend/addon.js';
import {BINARY, REDUCE, UNARY} from '../../backend/kernels/functions.js';
import {describeNative, DTYPES, expectSame, kernel, tensor, type DType, type Tolerance} from './kernels.js';

const SPECIAL = [NaN, Infinity, -Infinity, 0, -0, 1, -1, 0.5, 2.5, -1.5, 1e-30, 50, -50, 3e9];

describe('functions of elementwise.def', () => {
  const def = readFileSync(path.join(packageRoot, 'cuda', 'core', 'elementwise.def'), 'utf8');
  for (const [macro, names] of Object.entries({UNARY, BINARY, REDUCE})) {
    it(`lists ${macro} as functions.ts does`, () => {
      const listed = [...def.matchAll(new RegExp(`^${macro}\\((\\w+)\\)`, 'gm'))].map(([, name]) => name);
      expect(listed).to.deep.equal([...names]);
    });
  }
});

describeNative('unary kernels', () => {
  const ATTRS: Record<string, object> = {
    LeakyRelu: {alpha: 0.2},
    Step: {alpha: 0.25},
    ClipByValue: {clipValueMin: -1.5, clipValueMax: 2.25},
  };
  // These functions magnify the float32 rounding of large arguments and near poles.
  const TOLERANCE: Record<string, Tolerance> = {
    Tan: {relative: 1e-5},
    Sinh: {relative: 1e-5},
    Cosh: {relative: 1e-5},
  };

  for (const name of UNARY) {
    it(name, async () => {
      const check = (x: () => tf.Tensor) =>
        expectSame(() => kernel(name, {x: x()}, ATTRS[name]), TOLERANCE[name]);
      const logical = name === 'LogicalNot';
      for (const dtype of logical ? (['bool'] as const) : DTYPES)
        for (const shape of [[], [1], [31], [33], [111], [989], [0], [2, 0, 3], [3, 5, 2], [2, 1, 3, 2, 5]])
          await check(() => tensor(shape, dtype));
      if (logical) return;
      await check(() => tensor([989], 'float32', {spread: 0.99}));
      await check(() => tf.tensor1d(SPECIAL));
      await check(() => tf.tensor1d([100000, -100000, 0], 'int32'));
    });
  }

  it('gives an element the same value wherever it lies', async () => {
    await tf.setBackend('specattn');
    const x = tensor([100]);
    for (const f of [tf.exp, tf.sigmoid, tf.tanh, tf.log1p]) {
      const all = f(x).dataSync();
      for (const begin of [1, 17, 63, 99]) {
        const part = f(tf.slice(x, [begin], [100 - begin])).dataSync();
        expect(Array.from(part)).to.deep.equal(Array.from(all.slice(begin)));
      }
    }
  });

  it('takes tensors large enough for several threads', () => expectSame(() => tf.exp(tensor([300, 1001]))));
});

const PAIRS: [number[], number[]][] = [
  [[], []],
  [[], [33]],
  [[989], [1]],
  [[111], [111]],
  [
    [31, 33],
    [31, 33],
  ],
  [[31, 33], [33]],
  [
    [31, 33],
    [31, 1],
  ],
  [
    [1, 33],
    [31, 1],
  ],
  [
    [5, 1, 7],
    [1, 6, 7],
  ],
  [
    [2, 3, 1, 5],
    [3, 4, 1],
  ],
  [
    [2, 1, 3, 1, 2],
    [1, 4, 1, 5, 1],
  ],
  [
    [3, 1, 2, 1, 2, 3],
    [2, 1, 3],
  ],
  [
    [0, 3],
    [1, 3],
  ],
  [[2, 0], [1]],
];

describeNative('binary kernels', () => {
  for (const name of BINARY) {
    if (name === 'EluGrad') continue; // does not broadcast: kernels_composed.test.ts
    const [first, second] = name === 'Prelu' ? ['x', 'alpha'] : ['a', 'b'];
    const apply = (a: tf.Tensor, b: tf.Tensor) => kernel(name, {[first]: a, [second]: b});

    it(name, async () => {
      const logical = name === 'LogicalAnd' || name === 'LogicalOr';
      for (const dtype of logical ? (['bool'] as const) : DTYPES) {
        for (const [a, b] of PAIRS) {
          const options = (seed: number) => ({seed, spread: dtype === 'int32' ? 9 : 4});
          await expectSame(() => apply(tensor(a, dtype, options(1)), tensor(b, dtype, options(2))));
          await expectSame(() => apply(tensor(b, dtype, options(3)), tensor(a, dtype, options(4))));
        }
      }
      if (logical) return;
      const x = SPECIAL.slice(0, -1); // 3e9 is left out: it does not fit into int32, and backends convert it differently
      await expectSame(() => apply(tf.tensor2d(x, [x.length, 1]), tf.tensor1d(x)));
    });
  }

  it('wraps int32', () =>
    expectSame(() => {
      const a = tf.tensor1d([2147483647, -2147483648, 65536, -65536], 'int32');
      return [tf.add(a, a), tf.sub(a, tf.neg(a)), tf.mul(a, tf.scalar(65535, 'int32')), tf.neg(a)];
    }));

  it('takes mixed dtypes of runKernel', () =>
    expectSame(() => kernel('Multiply', {a: tensor([7], 'int32'), b: tensor([7], 'float32')})));

  it('takes tensors large enough for several threads', () =>
    expectSame(() => tf.add(tensor([400, 1, 300]), tensor([3, 300]))));

  it('refuses shapes that do not broadcast', async () => {
    await tf.setBackend('specattn');
    expect(() => tf.add(tensor([3]), tensor([4]))).to.throw('could not be broadcast');
  });
});

describeNative('Cast', () => {
  for (const from of DTYPES)
    for (const to of DTYPES)
      it(`${from} to ${to}`, async () => {
        for (const shape of [[], [1], [31], [33], [0], [4, 5, 6]])
          await expectSame(() => tf.cast(tensor(shape, from, {spread: 300}), to));
      });

  it('of special values', () =>
    expectSame(() => [tf.cast(tf.tensor1d(SPECIAL), 'int32'), tf.cast(tf.tensor1d(SPECIAL), 'bool')]));
});

describeNative('Select', () => {
  it('by element, broadcast, and in mixed dtypes', async () => {
    for (const [t, e] of [
      ['float32', 'float32'],
      ['int32', 'float32'],
      ['bool', 'int32'],
      ['bool', 'bool'],
    ] as [DType, DType][]) {
      for (const shape of [[], [33], [5, 7], [2, 3, 4, 5], [0, 2]])
        await expectSame(() =>
          tf.where(tensor(shape, 'bool'), tensor(shape, t, {seed: 2}), tensor(shape, e, {seed: 3})),
        );
      await expectSame(() => tf.where(tensor([4, 1], 'bool'), tensor([5], t), tf.tensor(1, [], e)));
    }
  });

  it('by row, with a condition of rank 1', async () => {
    await tf.setBackend('specattn');
    const picked = kernel('Select', {
      condition: tf.tensor1d([1, 0, 1], 'bool'),
      t: tf.ones([3, 2]),
      e: tf.zeros([3, 2]),
    });
    expect(Array.from(picked.dataSync())).to.deep.equal([1, 1, 0, 0, 1, 1]);
  });
});

/** Tests of standard kernels that read or write at given indices. */
import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';

import {describeNative, DTYPES, expectSame, kernel, tensor, values, type DType} from './kernels.js';

/** Integers in [0, below). `below` is one limit for all columns or a limit for each. */
function indices(shape: number[], below: number | number[], seed = 5): tf.Tensor {
  const draws = values(shape, 'float32', {seed, spread: 1});
  const limit = (i: number) => (typeof below === 'number' ? below : below[i % below.length]);
  return tf.tensor(
    draws.map((u, i) => Math.min(Math.floor(((u + 1) / 2) * limit(i)), limit(i) - 1)),
    shape,
    'int32',
  );
}

describeNative('GatherNd', () => {
  for (const dtype of DTYPES)
    it(dtype, () =>
      expectSame(() => [
        tf.gatherND(tensor([989, 33], dtype), indices([31, 1], 989)),
        tf.gatherND(tensor([5, 6, 7], dtype), indices([33, 2], [5, 6])),
        tf.gatherND(tensor([5, 6, 7], dtype), indices([2, 3, 3], [5, 6, 7])),
        tf.gatherND(tensor([7], dtype), indices([1, 1], 7)),
        tf.gatherND(tensor([5, 6], dtype), indices([2], [5, 6])),
        tf.gatherND(tensor([5, 6], dtype), indices([0, 2], 5)),
      ]),
    );

  it('gives zeros for an index out of range', async () => {
    await tf.setBackend('specattn');
    const places = tf.tensor2d([0, 2, 1, 1, -1, 0, 2, 0, 0, 2147483647], [5, 2], 'int32');
    expect(Array.from(tf.gatherND(tf.ones([2, 2]), places).dataSync())).to.deep.equal([0, 1, 0, 0, 0]);
  });
});

describeNative('ScatterNd, TensorScatterUpdate and SparseToDense', () => {
  // Many updates share an index. They are small integers, so that their sum is exact in any order.
  const updates = (shape: number[], dtype: DType) =>
    tf.cast(tensor(shape, dtype === 'float32' ? 'int32' : dtype, {seed: 3}), dtype);

  for (const dtype of DTYPES) {
    if (dtype !== 'bool')
      it(`ScatterNd of ${dtype}`, () =>
        expectSame(() => [
          tf.scatterND(indices([111, 1], 7), updates([111], dtype), [7]),
          tf.scatterND(indices([33, 1], 5), updates([33, 31], dtype), [5, 31]),
          tf.scatterND(indices([33, 2], [5, 3]), updates([33, 2, 111], dtype), [5, 3, 2, 111]),
          tf.scatterND(indices([2, 3, 2], [4, 6]), updates([2, 3], dtype), [4, 6]),
          tf.scatterND(indices([3000, 1], 2), updates([3000, 300], dtype), [2, 300]),
        ]));

    it(`TensorScatterUpdate of ${dtype}`, () =>
      expectSame(() => [
        tf.tensorScatterUpdate(tensor([7], dtype), indices([111, 1], 7), updates([111], dtype)),
        tf.tensorScatterUpdate(tensor([9, 31], dtype), indices([33, 1], 5), updates([33, 31], dtype)),
        tf.tensorScatterUpdate(tensor([5, 3, 2], dtype), indices([6, 2], [5, 3]), updates([6, 2], dtype)),
      ]));

    it(`SparseToDense of ${dtype}`, () =>
      expectSame(() => [
        tf.sparseToDense(indices([3], 989), updates([3], dtype), [989], tf.scalar(1, dtype)),
        tf.sparseToDense(indices([5, 2], [4, 6]), updates([5], dtype), [4, 6], tf.scalar(0, dtype)),
        tf.sparseToDense(tf.tensor1d([3, 1], 'int32'), tf.scalar(1, dtype), [5], tf.scalar(0, dtype)),
      ]));
  }

  it('skip an index out of range', async () => {
    await tf.setBackend('specattn');
    const places = tf.tensor1d([0, -1, 3, 1], 'int32');
    const dense = tf.sparseToDense(places, tf.tensor1d([5, 6, 7, 8]), [3], 1);
    expect(Array.from(dense.dataSync())).to.deep.equal([5, 8, 1]);
    const sum = tf.scatterND(tf.reshape(places, [4, 1]), tf.tensor1d([5, 6, 7, 8]), [3]);
    expect(Array.from(sum.dataSync())).to.deep.equal([5, 8, 0]);
  });
});

describeNative('UnsortedSegmentSum', () => {
  it('float32', () =>
    expectSame(
      () => {
        const ids = indices([33], 9) as tf.Tensor1D;
        return [
          tf.unsortedSegmentSum(tensor([33]), ids, 9),
          tf.unsortedSegmentSum(tensor([33, 111]), ids, 9),
          tf.unsortedSegmentSum(tensor([4, 2, 3]), tf.tensor1d([2, -1, 2, 7], 'int32'), 5),
        ];
      },
      {absolute: 5e-6},
    ));

  it('int32 and bool are counted in int32', async () => {
    await tf.setBackend('specattn');
    const ids = tf.tensor1d([1, 1, 0], 'int32');
    for (const dtype of ['int32', 'bool'] as const) {
      const sum = tf.unsortedSegmentSum(tf.tensor1d([1, 1, 1], dtype), ids, 2);
      expect(sum.dtype).to.equal('int32');
      expect(Array.from(sum.dataSync())).to.deep.equal([1, 2]);
    }
  });
});

describeNative('Bincount and DenseBincount', () => {
  const weights = (shape: number[], dtype: 'float32' | 'int32') =>
    tf.cast(tensor(shape, 'int32', {seed: 2}), dtype);

  for (const dtype of ['float32', 'int32'] as const)
    it(`in ${dtype}`, () => {
      const none = () => tf.tensor1d([], dtype);
      return expectSame(() => {
        const x = indices([989], 40) as tf.Tensor1D;
        const rows = indices([7, 33], 12) as tf.Tensor2D;
        return [
          tf.bincount(x, none(), 31),
          tf.bincount(x, weights([989], dtype) as tf.Tensor1D, 50),
          tf.denseBincount(x, none(), 50),
          tf.denseBincount(rows, tf.tensor2d([], [0, 0], dtype), 9),
          tf.denseBincount(rows, weights([7, 33], dtype) as tf.Tensor2D, 12),
          tf.denseBincount(rows, tf.tensor2d([], [0, 0], dtype), 12, true),
        ];
      });
    });

  it('skips negative numbers', async () => {
    await tf.setBackend('specattn');
    const counts = tf.bincount(tf.tensor1d([-1, 2, 2], 'int32'), tf.tensor1d([]), 3);
    expect(Array.from(counts.dataSync())).to.deep.equal([0, 0, 2]);
  });
});

describeNative('SearchSorted', () => {
  for (const dtype of ['float32', 'int32'] as const)
    it(dtype, async () => {
      for (const [rows, n, m] of [
        [1, 1, 1],
        [3, 31, 33],
        [2, 111, 989],
        [2, 0, 3],
      ]) {
        const attrs = (side: string) => ({side});
        await expectSame(() => {
          const sorted = tf.reverse(tf.topk(tensor([rows, n], dtype), n).values, [1]);
          const inputs = {sortedSequence: sorted, values: tensor([rows, m], dtype, {seed: 4, spread: 9})};
          return [
            kernel('SearchSorted', inputs, attrs('left')),
            kernel('SearchSorted', inputs, attrs('right')),
          ];
        });
      }
    });
});

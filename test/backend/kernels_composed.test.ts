/** Tests of standard kernels that are made of several launches. */
import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';

import {describeNative, DTYPES, expectSame, kernel, tensor} from './kernels.js';

const seeded = (shape: number[], seed: number) => tensor(shape, 'float32', {seed, spread: 1});

describeNative('AddN', () => {
  for (const dtype of DTYPES.slice(0, 2))
    it(dtype, async () => {
      for (const count of [1, 2, 5])
        await expectSame(() =>
          tf.addN(Array.from({length: count}, (_, seed) => tensor([3, 33], dtype, {seed}))),
        );
    });
});

describeNative('LinSpace', () => {
  it('of every length', () =>
    expectSame(() => [
      tf.linspace(2, 9, 1),
      tf.linspace(0, 1, 33),
      tf.linspace(-3, -8, 6),
      tf.linspace(1, 1, 4),
    ]));
});

describeNative('EluGrad', () => {
  it('float32', () => expectSame(() => kernel('EluGrad', {dy: seeded([989], 1), y: seeded([989], 2)})));
});

describeNative('FusedBatchNorm', () => {
  it('with and without scale and offset', async () => {
    for (const channels of [[3], [2, 5, 4, 3]]) {
      const each = (seed: number) => seeded(channels, seed) as tf.Tensor1D;
      for (const [offset, scale] of [
        [undefined, undefined],
        [each, undefined],
        [undefined, each],
        [each, each],
      ])
        await expectSame(
          () =>
            tf.batchNorm4d(
              tensor([2, 5, 4, 3]) as tf.Tensor4D,
              each(2),
              tf.abs(each(3)),
              offset?.(4),
              scale?.(5),
              0.01,
            ),
          {relative: 4e-6, absolute: 4e-6},
        );
    }
  });
});

describeNative('Einsum', () => {
  const SIZES: Record<string, number> = {b: 3, h: 2, i: 5, j: 7, k: 33, l: 1, m: 4};
  const run = (equation: string) => {
    const terms = equation.split('->')[0].split(',');
    return tf.einsum(
      equation,
      ...terms.map((term, seed) =>
        seeded(
          Array.from(term, (name) => SIZES[name]),
          seed + 1,
        ),
      ),
    );
  };

  for (const equation of [
    'ij->ji',
    'ij->ij',
    'ijk->k',
    'ijk->ki',
    'ij->',
    'i,i->',
    'i,j->ij',
    'i,j->ji',
    'i,i->i',
    'ij,ij->ij',
    'ij,jk->ik',
    'ij,kj->ki',
    'ji,jk->ik',
    'ji,kj->ki',
    'bij,bjk->bik',
    'bij,bkj->bik',
    'bihm,bjhm->bhij', // scores of attention
    'bhij,bjhm->bihm', // weighted values of attention
    'bij,jk->bik',
    'ijk,jkm->im',
    'ijb,bjm->im',
    'ij,jk->i',
    'ijl,kl->ijk',
    'bij,bij->b',
  ])
    it(equation, () => expectSame(() => run(equation), {relative: 1e-5, absolute: 1e-5}));

  it('of integers, and of tensors without elements', () =>
    expectSame(() => [
      tf.einsum('ij,jk->ik', tensor([2, 3], 'int32'), tensor([3, 4], 'int32')),
      tf.einsum('ij,jk->ik', tf.zeros([2, 0]), tf.zeros([0, 4])),
      tf.einsum('ij,jk->ik', tf.zeros([0, 3]), tf.zeros([3, 4])),
    ]));

  it('refuses sizes that differ', async () => {
    await tf.setBackend('specattn');
    expect(() => tf.einsum('ij,jk->ik', tf.ones([2, 3]), tf.ones([4, 5]))).to.throw('Expected dimension 3');
  });
});

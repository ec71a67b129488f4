import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';

import {describeNative, DTYPES, expectSame, kernel, tensor} from './kernels.js';

type Paddings = [number, number][];

const PADDED: [number[], Paddings][] = [
  [[1], [[0, 0]]],
  [[31], [[2, 3]]],
  [
    [5, 33],
    [
      [0, 0],
      [1, 4],
    ],
  ],
  [
    [4, 7],
    [
      [3, 2],
      [0, 0],
    ],
  ],
  [
    [2, 5, 6, 3],
    [
      [0, 0],
      [1, 2],
      [3, 0],
      [0, 0],
    ],
  ],
  [
    [2, 3, 2, 3],
    [
      [1, 1],
      [0, 0],
      [0, 1],
      [2, 0],
    ],
  ],
  [
    [111, 989],
    [
      [1, 1],
      [5, 7],
    ],
  ],
];

describeNative('PadV2 and MirrorPad', () => {
  for (const dtype of DTYPES)
    it(dtype, async () => {
      for (const [shape, paddings] of PADDED) {
        const x = () => tensor(shape, dtype);
        await expectSame(() => [
          tf.pad(x(), paddings),
          tf.pad(x(), paddings, 1),
          tf.mirrorPad(x(), paddings, 'symmetric'),
          ...(shape.some((size, axis) => Math.max(...paddings[axis]) >= size)
            ? []
            : [tf.mirrorPad(x(), paddings, 'reflect')]),
        ]);
      }
    });

  it('without elements', () =>
    expectSame(() => {
      const paddings: Paddings = [
        [1, 2],
        [0, 1],
      ];
      return [
        tf.pad(tf.zeros([0, 2]), paddings, 3),
        tf.pad(tf.zeros([2, 0]), paddings, -1),
        kernel('PadV2', {x: tf.scalar(3)}, {paddings: [], constantValue: 1}),
      ];
    }));

  it('refuses to mirror more elements than an axis has', async () => {
    await tf.setBackend('specattn');
    const padded = (mode: string, count: number) =>
      kernel('MirrorPad', {x: tf.ones([3])}, {paddings: [[count, 0]], mode});
    expect(padded('reflect', 2).shape).to.deep.equal([5]);
    expect(padded('symmetric', 3).shape).to.deep.equal([6]);
    expect(() => padded('reflect', 3)).to.throw("[Pad] axis 0 of 3 elements can't be padded with 3 and 0");
    expect(() => padded('symmetric', 4)).to.throw("[Pad] axis 0 of 3 elements can't be padded with 4 and 0");
  });
});

describeNative('blocks of space and depth', () => {
  for (const dtype of DTYPES)
    it(dtype, async () => {
      await expectSame(() => [
        tf.spaceToBatchND(
          tensor([2, 5, 7, 3], dtype),
          [2, 3],
          [
            [1, 0],
            [1, 1],
          ],
        ),
        tf.spaceToBatchND(tensor([1, 6], dtype), [3], [[0, 0]]),
        tf.batchToSpaceND(
          tensor([12, 3, 3, 2], dtype),
          [2, 3],
          [
            [1, 0],
            [2, 1],
          ],
        ),
        tf.batchToSpaceND(tensor([6, 3, 1], dtype), [3], [[0, 0]]),
      ]);
    });

  it('DepthToSpace and FlipLeftRight', () =>
    expectSame(() => [
      tf.image.flipLeftRight(tensor([2, 3, 5, 4]) as tf.Tensor4D),
      tf.depthToSpace(tensor([2, 3, 5, 12]) as tf.Tensor4D, 2, 'NHWC'),
      tf.depthToSpace(tensor([1, 1, 1, 9]) as tf.Tensor4D, 3, 'NHWC'),
    ]));
});

describeNative('Diag', () => {
  for (const dtype of DTYPES)
    it(dtype, async () => {
      for (const shape of [[1], [33], [0], [2, 3], [2, 2, 2]])
        await expectSame(() => tf.diag(tensor(shape, dtype)));
    });
});

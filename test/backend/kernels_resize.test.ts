import * as tf from '@tensorflow/tfjs-core';

import {describeNative, expectSame, kernel, tensor} from './kernels.js';

const SIZES: [from: number[], to: [number, number]][] = [
  [
    [1, 1, 1, 1],
    [3, 2],
  ],
  [
    [2, 3, 5, 3],
    [3, 5],
  ],
  [
    [2, 3, 5, 3],
    [7, 11],
  ],
  [
    [1, 31, 33, 2],
    [5, 1],
  ],
  [
    [1, 31, 33, 17],
    [111, 64],
  ],
  [
    [3, 8, 6, 1],
    [4, 3],
  ],
];

describeNative('resized images', () => {
  for (const name of ['ResizeBilinear', 'ResizeNearestNeighbor'])
    for (const dtype of ['float32', 'int32'] as const)
      for (const [alignCorners, halfPixelCenters] of [
        [false, false],
        [true, false],
        [false, true],
      ])
        it(`${name} of ${dtype}${alignCorners ? ', corners aligned' : ''}${halfPixelCenters ? ', centres at half pixels' : ''}`, async () => {
          for (const [shape, size] of SIZES)
            await expectSame(() =>
              kernel(name, {images: tensor(shape, dtype)}, {size, alignCorners, halfPixelCenters}),
            );
        });

  it('without elements', () =>
    expectSame(() => [
      tf.image.resizeBilinear(tf.zeros<tf.Rank.R4>([0, 3, 3, 2]), [2, 2]),
      tf.image.resizeNearestNeighbor(tf.zeros<tf.Rank.R4>([1, 3, 3, 0]), [2, 2]),
    ]));
});

/** tf.tile and tf.broadcastTo: a tensor repeated along its axes. */
import {Tile, type TensorInfo, type TileAttrs} from '@tensorflow/tfjs-core';

import {createKernel} from './kernel.js';
import {denseStrides, stridedCopy} from './stridedCopy.js';

export const tileConfig = createKernel<{x: TensorInfo}, TileAttrs>(
  Tile,
  ({inputs: {x}, attrs: {reps}, backend}) => {
    const strides = denseStrides(x.shape);
    return stridedCopy(
      backend,
      x,
      x.shape.map((size, axis) => size * reps[axis]),
      0,
      x.shape.flatMap((size, axis) => [reps[axis], size]),
      strides.flatMap((stride) => [0, stride]),
    );
  },
);

/** y[i_perm[0], i_perm[1], …] = x[i0, i1, …]. */
import {Transpose, type TensorInfo, type TransposeAttrs} from '@tensorflow/tfjs-core';

import {createKernel} from './kernel.js';
import {denseStrides, stridedCopy} from './stridedCopy.js';

export const transposeConfig = createKernel<{x: TensorInfo}, TransposeAttrs>(
  Transpose,
  ({inputs: {x}, attrs: {perm}, backend}) => {
    const shape = perm.map((axis) => x.shape[axis]);
    if (movesNothing(x.shape, perm)) return backend.alias(x, shape);
    const strides = denseStrides(x.shape);
    return stridedCopy(
      backend,
      x,
      shape,
      0,
      shape,
      perm.map((axis) => strides[axis]),
    );
  },
);

/** Whether only dimensions of 1 change places. */
function movesNothing(shape: number[], perm: number[]): boolean {
  const moved = perm.filter((axis) => shape[axis] !== 1);
  return moved.every((axis, i) => i === 0 || moved[i - 1] < axis);
}

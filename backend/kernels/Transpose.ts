/** tf.transpose: y[i_perm[0], i_perm[1], …] = x[i_0, i_1, …]. */
import {Transpose, type TensorInfo, type TransposeAttrs} from '@tensorflow/tfjs-core';

import {createKernel} from './kernel.js';
import {permute} from './stridedCopy.js';

export const transposeConfig = createKernel<{x: TensorInfo}, TransposeAttrs>(
  Transpose,
  ({inputs: {x}, attrs: {perm}, backend}) =>
    permute(
      backend,
      x,
      x.shape,
      perm,
      perm.map((axis) => x.shape[axis]),
    ),
);

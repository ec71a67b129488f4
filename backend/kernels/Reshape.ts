/** tf.reshape: the same buffer under another shape. */
import {Reshape, util, type ReshapeAttrs, type TensorInfo} from '@tensorflow/tfjs-core';

import {createUntypedKernel} from './kernel.js';

export const reshapeConfig = createUntypedKernel<{x: TensorInfo}, ReshapeAttrs>(
  Reshape,
  ({inputs: {x}, attrs, backend}) => {
    const size = util.sizeFromShape(x.shape);
    const shape = util.inferFromImplicitShape(attrs.shape, size);
    if (util.sizeFromShape(shape) !== size)
      throw new Error(
        `[Reshape] the new shape [${shape.join()}] must have ${size} elements, as [${x.shape.join()}] has`,
      );
    return backend.alias(x, shape);
  },
);

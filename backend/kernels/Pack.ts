/** tf.stack: tensors of one shape side by side along a new axis. */
import {Pack, util, type PackAttrs, type TensorInfo} from '@tensorflow/tfjs-core';

import {concat} from './Concat.js';
import {createKernel} from './kernel.js';

export const packConfig = createKernel<TensorInfo[], PackAttrs>(Pack, ({inputs, attrs, backend}) => {
  const {shape, dtype} = inputs[0];
  for (const x of inputs) {
    util.assertShapesMatch(shape, x.shape, 'All tensors passed to stack must have matching shapes');
    util.assert(
      x.dtype === dtype,
      () => `[Pack] tensors must be of one dtype but are of ${dtype} and ${x.dtype}`,
    );
  }
  const axis = attrs.axis < 0 ? attrs.axis + shape.length + 1 : attrs.axis;
  const packed = [...shape.slice(0, axis), inputs.length, ...shape.slice(axis)];
  if (inputs.length === 1) return backend.alias(inputs[0], packed);
  return concat(backend, inputs, packed, util.sizeFromShape(shape.slice(0, axis)));
});

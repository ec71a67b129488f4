/**
 * tf.spaceToBatchND, tf.batchToSpaceND and tf.depthToSpace: blocks of space move into the batch and back, and channels
 * move into blocks. Each is one copy, apart from padding and cropping.
 */
import {
  backend_util,
  BatchToSpaceND,
  DepthToSpace,
  SpaceToBatchND,
  util,
  type BatchToSpaceNDAttrs,
  type DepthToSpaceAttrs,
  type SpaceToBatchNDAttrs,
  type TensorInfo,
} from '@tensorflow/tfjs-core';

import {createKernel, fallback, sameShape, withTemporaries} from './kernel.js';
import {pad, type Padding} from './PadV2.js';
import {permute, slice} from './stridedCopy.js';

export const spaceToBatchNDConfig = createKernel<{x: TensorInfo}, SpaceToBatchNDAttrs>(
  SpaceToBatchND,
  ({inputs: {x}, attrs: {blockShape, paddings}, backend}) =>
    withTemporaries(backend, (keep) => {
      const all = x.shape.map((_, axis): Padding => (paddings[axis - 1] as unknown as Padding) ?? [0, 0]);
      const padded = keep(pad(backend, x, all));
      const blocks = util.sizeFromShape(blockShape);
      const dims = backend_util.getReshaped(padded.shape, blockShape, blocks, false);
      const perm = backend_util.getPermuted(dims.length, blockShape.length, false);
      const shape = backend_util.getReshapedPermuted(padded.shape, blockShape, blocks, false);
      return permute(backend, padded, dims, perm, shape);
    }),
);

export const batchToSpaceNDConfig = createKernel<{x: TensorInfo}, BatchToSpaceNDAttrs>(
  BatchToSpaceND,
  ({inputs: {x}, attrs: {blockShape, crops}, backend}) => {
    const blocks = util.sizeFromShape(blockShape);
    const dims = backend_util.getReshaped(x.shape, blockShape, blocks);
    const perm = backend_util.getPermuted(dims.length, blockShape.length);
    const shape = backend_util.getReshapedPermuted(x.shape, blockShape, blocks);
    const [before, after] = [0, 1].map((end) => shape.map((_, axis) => crops[axis - 1]?.[end] ?? 0));
    const size = shape.map((whole, axis) => whole - before[axis] - after[axis]);
    const space = permute(backend, x, dims, perm, shape);
    if (sameShape(size, shape)) return space;
    return withTemporaries(backend, (keep) => slice(backend, keep(space), before, size, size));
  },
);

export const depthToSpaceConfig = createKernel<{x: TensorInfo}, DepthToSpaceAttrs>(DepthToSpace, (args) => {
  const {
    inputs: {x},
    attrs: {blockSize, dataFormat},
    backend,
  } = args;
  if (dataFormat !== 'NHWC') return fallback(DepthToSpace, args);
  const [batch, height, width, depth] = x.shape;
  const channels = depth / blockSize ** 2;
  return permute(
    backend,
    x,
    [batch, height, width, blockSize, blockSize, channels],
    [0, 1, 3, 2, 4, 5],
    [batch, height * blockSize, width * blockSize, channels],
  );
});

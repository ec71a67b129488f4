/** tf.fill, tf.zerosLike and tf.onesLike: one value in every element. */
import {
  Fill,
  OnesLike,
  util,
  ZerosLike,
  type DataType,
  type FillAttrs,
  type TensorInfo,
} from '@tensorflow/tfjs-core';

import type {NativeBackend, NativeDType} from '../types.js';
import {compute, createKernel, fallback, isNativeDType, nativeDType} from './kernel.js';

/** A new scalar tensor. */
export function scalar(backend: NativeBackend, value: number, dtype: NativeDType): TensorInfo {
  return compute(backend, 'Fill', [], [], dtype, [value]);
}

export const fillConfig = createKernel<object, FillAttrs>(Fill, (args) => {
  const {shape, value} = args.attrs;
  const dtype: DataType = args.attrs.dtype || util.inferDtype(value);
  return isNativeDType(dtype)
    ? compute(args.backend, 'Fill', [], shape, dtype, [value as number])
    : fallback(Fill, args);
});

export const likeConfigs = [ZerosLike, OnesLike].map((name) =>
  createKernel<{x: TensorInfo}>(name, ({inputs: {x}, backend}) =>
    compute(backend, 'Fill', [], x.shape, nativeDType(x), [name === OnesLike ? 1 : 0]),
  ),
);

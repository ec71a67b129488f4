/**
 * Copies a strided view of a tensor into a dense tensor with one native kernel. Transpose, Slice, Tile and their like
 * are such copies.
 */
import type {TensorInfo} from '@tensorflow/tfjs-core';

import type {NativeBackend} from '../types.js';
import {compute, nativeDType} from './kernel.js';

/** For each axis of a dense tensor, the distance in elements from one index to the next. */
export function denseStrides(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length);
  for (let i = shape.length - 1, stride = 1; i >= 0; i--) {
    strides[i] = stride;
    stride *= shape[i];
  }
  return strides;
}

/**
 * y[i0, i1, …] = x[offset + i0·strides[0] + i1·strides[1] + …], stored as x.
 * @param shape of y; it has as many elements as the loops have steps
 * @param sizes of the loops, outermost first; at most 16 loops
 * @param strides of the loops, in elements of x; a stride may be negative, and 0 repeats elements
 */
export function stridedCopy(
  backend: NativeBackend,
  x: TensorInfo,
  shape: number[],
  offset: number,
  sizes: readonly number[],
  strides: readonly number[],
): TensorInfo {
  const attrs = [offset];
  for (let i = 0; i < sizes.length; i++) attrs.push(sizes[i], strides[i]);
  return compute(backend, 'StridedCopy', [x], shape, nativeDType(x), attrs, backend.storageOf(x));
}

/** The box of `size` elements from `begin` on, in steps of `steps` along each axis, reshaped to `shape`. */
export function slice(
  backend: NativeBackend,
  x: TensorInfo,
  begin: readonly number[],
  size: readonly number[],
  shape: number[],
  steps?: readonly number[],
): TensorInfo {
  const strides = denseStrides(x.shape);
  let offset = 0;
  for (let i = 0; i < strides.length; i++) {
    offset += begin[i] * strides[i];
    if (steps) strides[i] *= steps[i];
  }
  return stridedCopy(backend, x, shape, offset, size, strides);
}

/**
 * `x`, read as a dense tensor of `dims`, with its axes in the order `perm`, reshaped to `shape`. If only dimensions of
 * size 1 change places, the result is the same buffer.
 */
export function permute(
  backend: NativeBackend,
  x: TensorInfo,
  dims: readonly number[],
  perm: readonly number[],
  shape: number[],
): TensorInfo {
  if (movesNothing(dims, perm)) return backend.alias(x, shape);
  const strides = denseStrides(dims);
  return stridedCopy(
    backend,
    x,
    shape,
    0,
    perm.map((axis) => dims[axis]),
    perm.map((axis) => strides[axis]),
  );
}

/** Whether only dimensions of size 1 change places. */
export function movesNothing(dims: readonly number[], perm: readonly number[]): boolean {
  const moved = perm.filter((axis) => dims[axis] !== 1);
  return moved.every((axis, i) => i === 0 || moved[i - 1] < axis);
}

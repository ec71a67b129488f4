/** tf.matMul: products of matrices, in batches. The right operand may be stored as bfloat16 or float16. */
import {
  BatchMatMul,
  broadcast_util,
  util,
  type BatchMatMulAttrs,
  type TensorInfo,
} from '@tensorflow/tfjs-core';

import type {NativeBackend} from '../types.js';
import {
  areFloat32,
  compute,
  createKernel,
  fallback,
  sameShape,
  withTemporaries,
  type Keep,
} from './kernel.js';
import {denseStrides, stridedCopy} from './stridedCopy.js';

export interface MatMul extends BatchMatMulAttrs {
  /** Added to the product, whose shape it is broadcast to. */
  bias?: TensorInfo;
  /** Number of the activation in cuda/kernels/batch_mat_mul.h. 0, the default, is none. */
  activation?: number;
  /** Slope of LeakyRelu for negative numbers. */
  alpha?: number;
}

/**
 * activation(op(a) · op(b) + bias) of two float32 tensors in one launch; op transposes or does nothing.
 * @throws Error where the inner dimensions differ or the batch dimensions do not broadcast
 */
export function matMul(backend: NativeBackend, a: TensorInfo, b: TensorInfo, options: MatMul): TensorInfo {
  const {transposeA, transposeB, bias, activation = 0, alpha = 0} = options;
  const [rowsA, columnsA] = a.shape.slice(-2);
  const [rowsB, columnsB] = b.shape.slice(-2);
  const inner = transposeA ? rowsA : columnsA;
  const innerB = transposeB ? columnsB : rowsB;
  if (inner !== innerB)
    throw new Error(
      `[BatchMatMul] inner dimensions must agree but are ${inner} (of [${a.shape.join()}]) and ${innerB} (of [${b.shape.join()}])`,
    );
  const shape = [...batchShape(a, b), transposeA ? columnsA : rowsA, transposeB ? rowsB : columnsB];
  // There is nothing to compute, and the launcher would refuse to broadcast 1 batch to 0.
  if (util.sizeFromShape(shape) === 0) return backend.output(shape, 'float32');
  return withTemporaries(backend, (keep) => {
    const $a = toRank3(backend, widen(backend, a, keep), shape, keep);
    const $b = toRank3(backend, b, shape, keep);
    const inputs = bias ? [$a, $b, widen(backend, bias, keep)] : [$a, $b];
    const attrs = [transposeA ? 1 : 0, transposeB ? 1 : 0, activation, alpha];
    return compute(backend, 'BatchMatMul', inputs, shape, 'float32', attrs);
  });
}

function batchShape(a: TensorInfo, b: TensorInfo): number[] {
  if (a.shape.length === 2 && b.shape.length === 2) return [];
  return broadcast_util.assertAndGetBroadcastShape(a.shape.slice(0, -2), b.shape.slice(0, -2));
}

/** `x` itself if it is stored as float32, else a copy that is. */
function widen(backend: NativeBackend, x: TensorInfo, keep: Keep): TensorInfo {
  return backend.storageOf(x) === 'float32' ? x : keep(compute(backend, 'Copy', [x], x.shape, 'float32'));
}

/**
 * `x` with its batch dimensions made one, of the output's size or 1. It is copied only where some of several dimensions
 * broadcast.
 */
function toRank3(backend: NativeBackend, x: TensorInfo, shape: number[], keep: Keep): TensorInfo {
  const rank = x.shape.length;
  if (rank <= 2) return x;
  const matrix = x.shape.slice(-2);
  const batches = x.shape.slice(0, -2);
  const size = util.sizeFromShape(batches);
  const wanted = shape.slice(0, -2);
  if (rank === 3 && (size === 1 || size === wanted[wanted.length - 1]) && wanted.length === 1) return x;
  if (size === 1 || sameShape(batches, wanted) || size === util.sizeFromShape(wanted))
    return keep(backend.alias(x, [size, ...matrix]));
  const strides = denseStrides(x.shape);
  const missing = wanted.length - batches.length;
  const outer = wanted.map((_, i) => (i < missing || batches[i - missing] === 1 ? 0 : strides[i - missing]));
  return keep(
    stridedCopy(
      backend,
      x,
      [util.sizeFromShape(wanted), ...matrix],
      0,
      [...wanted, ...matrix],
      [...outer, ...strides.slice(-2)],
    ),
  );
}

export const batchMatMulConfig = createKernel<{a: TensorInfo; b: TensorInfo}, BatchMatMulAttrs>(
  BatchMatMul,
  (args) => {
    const {
      inputs: {a, b},
      attrs,
      backend,
    } = args;
    return areFloat32(a, b) ? matMul(backend, a, b, attrs) : fallback(BatchMatMul, args);
  },
);

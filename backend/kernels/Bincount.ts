/**
 * tf.bincount and tf.denseBincount: how often each number below `size` occurs, or the sum of its weights. Negative
 * numbers are ignored, where tfjs-backend-cpu throws: this code does not read the device's data, for the reason that
 * GatherV2.ts gives.
 */
import {
  Bincount,
  DenseBincount,
  util,
  type BincountAttrs,
  type DenseBincountAttrs,
  type TensorInfo,
} from '@tensorflow/tfjs-core';

import type {NativeBackend} from '../types.js';
import {concat} from './Concat.js';
import {scalar} from './Fill.js';
import {cast, compute, createKernel, fallback, nativeDType, withTemporaries, type Keep} from './kernel.js';
import {scatter} from './scatter.js';
import {stridedCopy} from './stridedCopy.js';

type Inputs = Record<'x' | 'weights', TensorInfo>;

/**
 * Counts of x [N], or of each row of x [B,N]. With `occurs` a number's count is 1 if it occurs, whatever its weights.
 */
function count(
  backend: NativeBackend,
  {x, weights}: Inputs,
  {size, occurs}: {size: number; occurs: boolean},
): TensorInfo {
  return withTemporaries(backend, (keep) => {
    const numbers = keep(cast(backend, x, 'int32'));
    const byRow = x.shape.length === 2;
    const weighs = util.sizeFromShape(weights.shape) > 0 && !occurs;
    return scatter(backend, {
      indices: byRow ? keep(withRows(backend, numbers, keep)) : numbers,
      updates: weighs ? weights : keep(scalar(backend, 1, nativeDType(weights))),
      shape: byRow ? [x.shape[0], size] : [size],
      depth: byRow ? 2 : 1,
      adds: !occurs,
    });
  });
}

/** The pair [row, number] of each number of x [B,N]: [B,N,2]. */
function withRows(backend: NativeBackend, x: TensorInfo, keep: Keep): TensorInfo {
  const [rows, columns] = x.shape;
  const each = keep(compute(backend, 'Range', [], [rows], 'int32', [0, 1]));
  const all = keep(stridedCopy(backend, each, [rows, columns], 0, [rows, columns], [1, 0]));
  return concat(backend, [all, x], [rows, columns, 2], rows * columns);
}

export const bincountConfig = createKernel<Inputs, BincountAttrs>(Bincount, (args) => {
  if (args.inputs.weights.dtype === 'bool') return fallback(Bincount, args);
  return count(args.backend, args.inputs, {size: args.attrs.size, occurs: false});
});

export const denseBincountConfig = createKernel<Inputs, DenseBincountAttrs>(DenseBincount, (args) => {
  const {inputs, attrs, backend} = args;
  if (inputs.weights.dtype === 'bool') return fallback(DenseBincount, args);
  return count(backend, inputs, {size: attrs.size, occurs: attrs.binaryOutput ?? false});
});

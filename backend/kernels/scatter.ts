/**
 * Updates put into a tensor at places, or added there: one native kernel. A place out of range is passed over (tfjs-backend-cpu
 * throws for ScatterNd, SparseToDense and TensorScatterUpdate): indices are not looked at here, see GatherV2.
 */
import {
  backend_util,
  ScatterNd,
  SparseToDense,
  TensorScatterUpdate,
  UnsortedSegmentSum,
  type ScatterNdAttrs,
  type SparseToDenseAttrs,
  type TensorInfo,
  type UnsortedSegmentSumAttrs,
} from '@tensorflow/tfjs-core';

import type {NativeBackend} from '../types.js';
import {scalar} from './Fill.js';
import {cast, compute, createKernel, fallback, nativeDType, withTemporaries} from './kernel.js';

export interface Scatter {
  /** Of any dtype; `depth` of them are a place. */
  indices: TensorInfo;
  /** A slice for each place, or one number for all. */
  updates: TensorInfo;
  /** What is there before, all of it or one number; of the dtype of updates. Zeros if left out. */
  base?: TensorInfo;
  shape: number[];
  depth: number;
  /** Whether updates are added; else the last of a place's replaces what is there. */
  adds: boolean;
}

/** One launch, of float32 or int32 numbers, or of bools that are not added. */
export function scatter(backend: NativeBackend, options: Scatter): TensorInfo {
  const {indices, updates, base, shape, depth, adds} = options;
  const dtype = nativeDType(updates);
  return withTemporaries(backend, (keep) => {
    const $indices = keep(cast(backend, indices, 'int32'));
    const $base = base ?? keep(scalar(backend, 0, dtype));
    return compute(backend, 'Scatter', [$indices, updates, $base], shape, dtype, [depth, adds ? 1 : 0]);
  });
}

/** How many indices are a place. */
function depthOf(updates: TensorInfo, indices: TensorInfo, shape: number[]): number {
  return backend_util.calculateShapes(updates, indices, shape).sliceRank;
}

export const scatterNdConfig = createKernel<Record<'indices' | 'updates', TensorInfo>, ScatterNdAttrs>(
  ScatterNd,
  (args) => {
    const {
      inputs: {indices, updates},
      attrs: {shape},
      backend,
    } = args;
    if (updates.dtype === 'bool') return fallback(ScatterNd, args);
    return scatter(backend, {indices, updates, shape, depth: depthOf(updates, indices, shape), adds: true});
  },
);

export const tensorScatterUpdateConfig = createKernel<Record<'tensor' | 'indices' | 'updates', TensorInfo>>(
  TensorScatterUpdate,
  ({inputs: {tensor, indices, updates}, backend}) => {
    const {shape} = tensor;
    const depth = depthOf(updates, indices, shape);
    return scatter(backend, {indices, updates, base: tensor, shape, depth, adds: false});
  },
);

export const sparseToDenseConfig = createKernel<
  Record<'sparseIndices' | 'sparseValues' | 'defaultValue', TensorInfo>,
  SparseToDenseAttrs
>(
  SparseToDense,
  ({inputs: {sparseIndices, sparseValues, defaultValue}, attrs: {outputShape: shape}, backend}) => {
    const depth = depthOf(sparseValues, sparseIndices, shape);
    return scatter(backend, {
      ...{indices: sparseIndices, updates: sparseValues, base: defaultValue},
      ...{shape, depth, adds: false},
    });
  },
);

/** The sum of x's slices that share a segment; a negative segment has none. */
export const unsortedSegmentSumConfig = createKernel<
  Record<'x' | 'segmentIds', TensorInfo>,
  UnsortedSegmentSumAttrs
>(UnsortedSegmentSum, ({inputs: {x, segmentIds}, attrs: {numSegments}, backend}) =>
  withTemporaries(backend, (keep) => {
    const updates = x.dtype === 'bool' ? keep(cast(backend, x, 'int32')) : x;
    const shape = [numSegments, ...x.shape.slice(segmentIds.shape.length)];
    return scatter(backend, {indices: segmentIds, updates, shape, depth: 1, adds: true});
  }),
);

/**
 * tf.scatterND and its like: updates are written, or added, to a tensor at given places. One native kernel runs them
 * all. A place out of range is ignored, where tfjs-backend-cpu throws (except for UnsortedSegmentSum): this code does
 * not read indices, for the reason that GatherV2.ts gives.
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
  /** Places in the tensor: `depth` indices each, of any dtype. */
  indices: TensorInfo;
  /** A slice for each place, or one number for all places. */
  updates: TensorInfo;
  /** The tensor before the updates, or one number for all its elements; of the updates' dtype. Zeros if left out. */
  base?: TensorInfo;
  shape: number[];
  depth: number;
  /** Whether updates are added. Otherwise the last update of a place replaces the element. */
  adds: boolean;
}

/** Scatters in one launch. Updates are float32 or int32, or bool if they are not added. */
export function scatter(backend: NativeBackend, options: Scatter): TensorInfo {
  const {indices, updates, base, shape, depth, adds} = options;
  const dtype = nativeDType(updates);
  return withTemporaries(backend, (keep) => {
    const $indices = keep(cast(backend, indices, 'int32'));
    const $base = base ?? keep(scalar(backend, 0, dtype));
    return compute(backend, 'Scatter', [$indices, updates, $base], shape, dtype, [depth, adds ? 1 : 0]);
  });
}

/** How many indices make a place. */
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

/** The sum of the slices of x that have the same segment id. Slices with a negative id are ignored. */
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

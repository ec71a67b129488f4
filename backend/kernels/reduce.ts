/**
 * Reductions over any axes: Sum, Mean, Prod, Max, Min, Any, All. One native kernel runs them all, by a function's
 * number.
 */
import {util, type KernelConfig, type TensorInfo} from '@tensorflow/tfjs-core';

import type {NativeBackend, NativeDType} from '../types.js';
import {REDUCE} from './functions.js';
import {compute, createKernel, nativeDType} from './kernel.js';

interface ReduceAttrs {
  axis?: number | number[];
  /** The axes, as Max names them. */
  reductionIndices?: number | number[];
  keepDims: boolean;
}

/** `shape` without `axes`, or with 1 in their place if `keepDims`. */
export function reducedShape(shape: number[], axes: number[], keepDims: boolean): number[] {
  const left: number[] = [];
  for (let i = 0; i < shape.length; i++) {
    if (!axes.includes(i)) left.push(shape[i]);
    else if (keepDims) left.push(1);
  }
  return left;
}

function resultDType(name: (typeof REDUCE)[number], dtype: NativeDType): NativeDType {
  if (name === 'Mean') return 'float32';
  return dtype === 'bool' && (name === 'Sum' || name === 'Prod') ? 'int32' : dtype;
}

/** Reduces `axes` in one launch. The result's shape does not have them. */
export function reduce(
  backend: NativeBackend,
  name: (typeof REDUCE)[number],
  x: TensorInfo,
  axes: number[],
): TensorInfo {
  const shape = reducedShape(x.shape, axes, false);
  return compute(backend, 'Reduce', [x], shape, resultDType(name, nativeDType(x)), [
    REDUCE.indexOf(name),
    ...axes,
  ]);
}

function createReduceKernel(name: (typeof REDUCE)[number], number: number): KernelConfig {
  return createKernel<{x: TensorInfo}, ReduceAttrs>(name, ({inputs: {x}, attrs, backend}) => {
    const axes = util.parseAxisParam((name === 'Max' ? attrs.reductionIndices : attrs.axis)!, x.shape);
    const shape = reducedShape(x.shape, axes, attrs.keepDims);
    return compute(backend, 'Reduce', [x], shape, resultDType(name, nativeDType(x)), [number, ...axes]);
  });
}

export const reduceConfigs = REDUCE.map(createReduceKernel);

/** Reductions over any axes: one native kernel, a table of functions. */
import {util, type KernelConfig, type TensorInfo} from '@tensorflow/tfjs-core';

import type {NativeBackend, NativeDType} from '../types.js';
import {REDUCE} from './functions.js';
import {compute, createKernel, nativeDType} from './kernel.js';

interface ReduceAttrs {
  axis?: number | number[];
  /** What Max calls its axes. */
  reductionIndices?: number | number[];
  keepDims: boolean;
}

/** The shape that is left of `shape` without `axes`. */
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

/** One launch over `axes`, which are left out of the result's shape. */
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

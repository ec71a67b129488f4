/** Elementwise functions of one tensor: one native kernel, a table of functions. */
import type {KernelConfig, TensorInfo} from '@tensorflow/tfjs-core';

import type {NativeBackend, NativeDType} from '../types.js';
import {UNARY} from './functions.js';
import {compute, createKernel, nativeDType} from './kernel.js';

type Unary = (typeof UNARY)[number];

/** The dtype of the result where it is not that of the input. */
const DTYPES: Partial<Record<Unary, NativeDType>> = {
  Exp: 'float32',
  LeakyRelu: 'float32',
  IsNan: 'bool',
  IsInf: 'bool',
  IsFinite: 'bool',
  LogicalNot: 'bool',
};

/** Names of the attributes that the function takes, in the native order. */
const ATTRIBUTES: Partial<Record<Unary, string[]>> = {
  LeakyRelu: ['alpha'],
  Step: ['alpha'],
  ClipByValue: ['clipValueMin', 'clipValueMax'],
};

/** One launch, for a function without attributes. */
export function unary(backend: NativeBackend, name: Unary, x: TensorInfo): TensorInfo {
  return compute(backend, 'Unary', [x], x.shape, DTYPES[name] ?? nativeDType(x), [UNARY.indexOf(name)]);
}

function createUnaryKernel(name: Unary, number: number): KernelConfig {
  const dtype = DTYPES[name];
  const attributes = ATTRIBUTES[name];
  const plain = [number];
  return createKernel<{x: TensorInfo}, Record<string, number>>(name, ({inputs: {x}, attrs, backend}) => {
    // There is no -1 among bools: tfjs-backend-cpu multiplies by true.
    if (name === 'Neg' && x.dtype === 'bool') return backend.alias(x);
    const numbers = attributes ? [number, ...attributes.map((attribute) => attrs[attribute])] : plain;
    return compute(backend, 'Unary', [x], x.shape, dtype ?? nativeDType(x), numbers);
  });
}

export const unaryConfigs = UNARY.map(createUnaryKernel);

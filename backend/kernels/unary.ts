/** Elementwise functions of one tensor. One native kernel runs them all, by a function's number. */
import type {KernelConfig, TensorInfo} from '@tensorflow/tfjs-core';

import type {NativeBackend, NativeDType} from '../types.js';
import {UNARY} from './functions.js';
import {compute, createKernel, nativeDType} from './kernel.js';

type Unary = (typeof UNARY)[number];

/** The result's dtype, for functions whose result is not of the input's dtype. */
const DTYPES: Partial<Record<Unary, NativeDType>> = {
  Exp: 'float32',
  LeakyRelu: 'float32',
  IsNan: 'bool',
  IsInf: 'bool',
  IsFinite: 'bool',
  LogicalNot: 'bool',
};

/** The attributes of functions that have any, in the order of the native kernel. */
const ATTRIBUTES: Partial<Record<Unary, string[]>> = {
  LeakyRelu: ['alpha'],
  Step: ['alpha'],
  ClipByValue: ['clipValueMin', 'clipValueMax'],
};

/** The function `name`, which takes no attributes, in one launch. */
export function unary(backend: NativeBackend, name: Unary, x: TensorInfo): TensorInfo {
  return compute(backend, 'Unary', [x], x.shape, DTYPES[name] ?? nativeDType(x), [UNARY.indexOf(name)]);
}

function createUnaryKernel(name: Unary, number: number): KernelConfig {
  const dtype = DTYPES[name];
  const attributes = ATTRIBUTES[name];
  const plain = [number];
  return createKernel<{x: TensorInfo}, Record<string, number>>(name, ({inputs: {x}, attrs, backend}) => {
    // tfjs-backend-cpu negates by a product with −1, which is true as a bool: so it returns the bools as they are.
    if (name === 'Neg' && x.dtype === 'bool') return backend.alias(x);
    const numbers = attributes ? [number, ...attributes.map((attribute) => attrs[attribute])] : plain;
    return compute(backend, 'Unary', [x], x.shape, dtype ?? nativeDType(x), numbers);
  });
}

export const unaryConfigs = UNARY.map(createUnaryKernel);

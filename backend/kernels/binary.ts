/**
 * Elementwise functions of two tensors, which are broadcast against each other. One native kernel runs them all, by a
 * function's number.
 */
import {backend_util, type KernelConfig, type TensorInfo} from '@tensorflow/tfjs-core';

import type {NativeBackend, NativeDType} from '../types.js';
import {BINARY} from './functions.js';
import {compute, createKernel, fallback, nativeDType, sameShape} from './kernel.js';

type Binary = (typeof BINARY)[number];

/** The result's dtype, for functions whose result is not of the inputs' dtype. */
const DTYPES: Partial<Record<Binary, NativeDType>> = {
  FloorDiv: 'int32',
  Equal: 'bool',
  NotEqual: 'bool',
  Greater: 'bool',
  GreaterEqual: 'bool',
  Less: 'bool',
  LessEqual: 'bool',
  LogicalAnd: 'bool',
  LogicalOr: 'bool',
};

/** Names of the inputs, for functions that do not name them `a` and `b`. These functions take float32 tensors only. */
const INPUTS: Partial<Record<Binary, [string, string]>> = {Prelu: ['x', 'alpha'], EluGrad: ['dy', 'y']};

/** The function `name` of two tensors of one dtype, in one launch. */
export function binary(backend: NativeBackend, name: Binary, a: TensorInfo, b: TensorInfo): TensorInfo {
  return launch(backend, NUMBERS[name], DTYPES[name], a, b);
}

const NUMBERS = Object.fromEntries(BINARY.map((name, i) => [name, [i]])) as Record<Binary, number[]>;

function launch(
  backend: NativeBackend,
  attrs: number[],
  dtype: NativeDType | undefined,
  a: TensorInfo,
  b: TensorInfo,
): TensorInfo {
  const shape = sameShape(a.shape, b.shape)
    ? a.shape
    : backend_util.assertAndGetBroadcastShape(a.shape, b.shape);
  return compute(backend, 'Binary', [a, b], shape, dtype ?? nativeDType(a), attrs);
}

function createBinaryKernel(name: Binary): KernelConfig {
  const [first, second] = INPUTS[name] ?? ['a', 'b'];
  const floats = name in INPUTS;
  const dtype = DTYPES[name];
  // tf's ops convert mixed dtypes themselves, and give Prelu only floats. Direct calls of the kernel may have either.
  return createKernel<Record<string, TensorInfo>>(name, (args) => {
    const a = args.inputs[first];
    const b = args.inputs[second];
    if (a.dtype !== b.dtype || (floats && a.dtype !== 'float32')) return fallback(name, args);
    return launch(args.backend, NUMBERS[name], dtype, a, b);
  });
}

export const binaryConfigs = BINARY.map(createBinaryKernel);

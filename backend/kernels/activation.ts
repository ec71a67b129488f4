/** What fused kernels do to their result: within a product's launch, or in one of its own. */
import type {TensorInfo} from '@tensorflow/tfjs-core';

import type {NativeBackend} from '../types.js';
import {matMul, type MatMul} from './BatchMatMul.js';
import {binary} from './binary.js';
import {UNARY} from './functions.js';
import {compute, withTemporaries} from './kernel.js';

/** In the order of their numbers in cuda/kernels/batch_mat_mul.cc, with the elementwise function that does the same. */
const FUNCTIONS: [name: string, unary?: (typeof UNARY)[number]][] = [
  ['linear'],
  ['relu', 'Relu'],
  ['relu6', 'Relu6'],
  ['elu', 'Elu'],
  ['sigmoid', 'Sigmoid'],
  ['leakyrelu', 'LeakyRelu'],
];

export interface Activation {
  /** A name of {@link FUNCTIONS}, or prelu, which has weights. Linear if left out. */
  activation?: string | null;
  leakyreluAlpha?: number;
  preluActivationWeights?: TensorInfo;
}

function numberOf(activation: string): number {
  const number = FUNCTIONS.findIndex(([name]) => name === activation);
  if (number >= 0) return number;
  const names = [...FUNCTIONS.map(([name]) => name), 'prelu'];
  throw new Error(`[activation] the activation must be one of ${names.join()} but is ${activation}`);
}

/** activation(op(a) · op(b) + bias): one launch, and one more for prelu, whose weights broadcast to `shape`, the result's. */
export function activatedMatMul(
  backend: NativeBackend,
  a: TensorInfo,
  b: TensorInfo,
  product: MatMul,
  {activation, leakyreluAlpha, preluActivationWeights}: Activation,
  shape?: number[],
): TensorInfo {
  const last = activation === 'prelu' ? 'linear' : (activation ?? 'linear');
  return withTemporaries(backend, (keep) => {
    const y = matMul(backend, a, b, {...product, activation: numberOf(last), alpha: leakyreluAlpha});
    const shaped = shape ? backend.alias(keep(y), shape) : y;
    return activation === 'prelu' ? binary(backend, 'Prelu', keep(shaped), preluActivationWeights!) : shaped;
  });
}

/** activation(x). */
export function activate(
  backend: NativeBackend,
  x: TensorInfo,
  {activation, leakyreluAlpha = 0, preluActivationWeights}: Activation,
): TensorInfo {
  if (activation === 'prelu') return binary(backend, 'Prelu', x, preluActivationWeights!);
  const [, unary] = FUNCTIONS[numberOf(activation ?? 'linear')];
  if (!unary) return backend.alias(x);
  return compute(backend, 'Unary', [x], x.shape, 'float32', [UNARY.indexOf(unary), leakyreluAlpha]);
}

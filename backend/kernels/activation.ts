/** The activations of fused kernels, applied within the launch of a product of matrices or in a launch of their own. */
import type {TensorInfo} from '@tensorflow/tfjs-core';

import type {NativeBackend} from '../types.js';
import {matMul, type MatMul} from './BatchMatMul.js';
import {binary} from './binary.js';
import {UNARY} from './functions.js';
import {compute, withTemporaries} from './kernel.js';

/**
 * Activations in the order of their numbers in cuda/kernels/batch_mat_mul.h, each with the elementwise function that
 * computes it.
 */
const FUNCTIONS: [name: string, unary?: (typeof UNARY)[number]][] = [
  ['linear'],
  ['relu', 'Relu'],
  ['relu6', 'Relu6'],
  ['elu', 'Elu'],
  ['sigmoid', 'Sigmoid'],
  ['leakyrelu', 'LeakyRelu'],
];

export interface Activation {
  /** A name in {@link FUNCTIONS}, or prelu, whose slopes are `preluActivationWeights`. Linear if left out. */
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

/**
 * activation(op(a) · op(b) + bias) in one launch, and one more for prelu.
 * @param shape of the result, which the weights of prelu are broadcast to; the product's own if left out
 */
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

/** activation(x), in at most one launch. */
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

/**
 * The op Linear multiplies rows by a weight matrix. The norm before the product and the bias, gate and residual sum
 * after it can be part of the op.
 */
import * as tf from '@tensorflow/tfjs-core';
import type {Tensor, Tensor2D, TensorInfo} from '@tensorflow/tfjs-core';

import {checkValue} from '../backend/check.js';
import {ANY, checkTensor, EPSILON} from './check.js';
import {defineOp, launch} from './define_op.js';
import {rmsNorm} from './rms_norm.js';
import {swiGLU} from './swiglu.js';

const name = 'Linear';

/**
 * Which optional inputs follow x and weight (norm, bias, residual, in this order), and what is done with the product.
 */
const ATTRS = {epsilon: 1e-5, norm: false, bias: false, gated: false, residual: false};
type Attrs = typeof ATTRS;

/** The inputs by name, and how many there must be. */
function named<T>([x, weight, ...rest]: readonly T[], {norm, bias, residual}: Attrs) {
  let at = 0;
  return {
    x,
    weight,
    norm: norm ? rest[at++] : undefined,
    bias: bias ? rest[at++] : undefined,
    residual: residual ? rest[at++] : undefined,
    count: 2 + at,
  };
}

const outputShape = (x: TensorInfo, weight: TensorInfo, {gated}: Attrs): number[] => [
  x.shape[0],
  gated ? weight.shape[0] / 2 : weight.shape[0],
];

const run = defineOp({
  name,
  attrs: ATTRS,

  check(inputs, attrs) {
    const {x, weight, norm, bias, residual, count} = named(inputs, attrs);
    checkTensor(name, 'x', x, 'float32', [ANY, ANY]);
    const inner = x.shape[1];
    checkTensor(name, 'weight', weight, 'float32', [ANY, inner]);
    const [columns] = weight.shape;
    if (attrs.gated && columns % 2 !== 0)
      throw new Error(`[${name}] weight must have an even number of rows (gate, up) but has ${columns}`);
    if (attrs.norm) checkTensor(name, 'norm', norm!, 'float32', [inner]);
    if (attrs.bias) checkTensor(name, 'bias', bias!, 'float32', [columns]);
    if (attrs.residual) checkTensor(name, 'residual', residual!, 'float32', outputShape(x, weight, attrs));
    if (inputs.length !== count)
      throw new Error(`[${name}] takes ${count} inputs with these attributes but got ${inputs.length}`);
    checkValue(name, 'epsilon', attrs.epsilon, EPSILON);
  },

  native(backend, inputs, attrs) {
    const {epsilon, norm, bias, gated, residual} = attrs;
    const flags = [norm, bias, gated, residual].map(Number);
    const shape = outputShape(inputs[0], inputs[1], attrs);
    return launch(backend, name, inputs, [[shape, 'float32']], [epsilon, ...flags])[0];
  },

  composed(inputs: Tensor[], attrs) {
    const {x, weight, norm, bias, residual} = named(inputs, attrs);
    const rows = norm ? rmsNorm(x, norm, attrs.epsilon) : (x as Tensor2D);
    let y: Tensor = tf.matMul(rows, weight as Tensor2D, false, true);
    if (bias) y = tf.add(y, bias);
    if (attrs.gated) y = swiGLU(y);
    return residual ? tf.add(y, residual) : y;
  },
});

export interface LinearOptions {
  /** float32 [K]: the weight of an RMSNorm that is applied to x first. */
  norm?: Tensor;
  /** The epsilon of that RMSNorm, 0 or more; 1e-5 by default. */
  epsilon?: number;
  /** float32 [N]: added to the product. */
  bias?: Tensor;
  /** Whether the product is an MLP's gate and up projections side by side, which SwiGLU combines; false by default. */
  gated?: boolean;
  /** float32 [T,N']: added to the result. */
  residual?: Tensor;
}

/**
 * A projection, fused with the steps around it in a Llama: the norm before it, its bias, the gate of the MLP, the
 * residual sum.
 *
 *     y   = (norm ? rmsNorm(x, norm, epsilon) : x) · weightᵀ + bias
 *     out = (gated ? swiGLU(y) : y) + residual
 *
 * ```ts
 * const x = tf.tensor2d([[3, 4]]);
 * const weight = tf.tensor2d([[1, 0], [0, 1]]);
 * linear(x, weight, {bias: tf.tensor1d([0.5, 0])}).print(); // [[3.5, 4]]
 * linear(x, weight, {norm: tf.tensor1d([1, 1]), epsilon: 0}).print(); // [[0.8485281, 1.1313709]]
 * linear(tf.tensor2d([[1, 2]]), weight, {gated: true, residual: tf.tensor2d([[10]])}).print(); // [[11.4621172]]: silu(1) · 2 + 10
 * ```
 *
 * Source: those of `rmsNorm` and `swiGLU`; the weight has the layout of PyTorch's nn.Linear.
 *
 * @param x float32 [T,K]
 * @param weight float32 [N,K], in any storage; with `gated` N is even, and the gate's rows come before those of the up
 *     projection
 * @returns float32 [T,N'], N' = gated ? N/2 : N
 * @throws Error naming the op and the argument, if a shape or dtype does not fit
 */
export function linear(x: Tensor, weight: Tensor, options: LinearOptions = {}): Tensor2D {
  const {norm, bias, residual, gated = false, epsilon} = options;
  const inputs = [x, weight, norm, bias, residual].filter((input) => input !== undefined);
  const given = {norm: norm !== undefined, bias: bias !== undefined, residual: residual !== undefined};
  return run(inputs, {...given, gated, epsilon}) as Tensor2D;
}

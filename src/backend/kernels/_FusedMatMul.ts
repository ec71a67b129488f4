/** activation(op(a) · op(b) + bias) in one launch: tf.fused.matMul. */
import {_FusedMatMul, type _FusedMatMulAttrs, type TensorInfo} from '@tensorflow/tfjs-core';

import {matMul} from './BatchMatMul.js';
import {binary} from './binary.js';
import {createKernel, fallback, withTemporaries} from './kernel.js';

interface Inputs {
  a: TensorInfo;
  b: TensorInfo;
  bias?: TensorInfo;
  preluActivationWeights?: TensorInfo;
}

/** As cuda/kernels/batch_mat_mul.cc numbers them; prelu has weights and is a launch of its own. */
const ACTIVATIONS: Record<string, number> = {
  linear: 0,
  relu: 1,
  relu6: 2,
  elu: 3,
  sigmoid: 4,
  leakyrelu: 5,
  prelu: 0,
};

export const fusedMatMulConfig = createKernel<Inputs, _FusedMatMulAttrs>(_FusedMatMul, (args) => {
  const {
    inputs: {a, b, bias, preluActivationWeights},
    attrs: {transposeA, transposeB, activation = 'linear', leakyreluAlpha},
    backend,
  } = args;
  const number = ACTIVATIONS[activation ?? 'linear'];
  if (number === undefined)
    throw new Error(
      `[_FusedMatMul] activation must be one of ${Object.keys(ACTIVATIONS).join()} but is ${activation}`,
    );
  for (const x of [a, b, bias, preluActivationWeights])
    if (x && x.dtype !== 'float32') return fallback(_FusedMatMul, args);
  const options = {transposeA, transposeB, bias, activation: number, alpha: leakyreluAlpha};
  if (activation !== 'prelu') return matMul(backend, a, b, options);
  return withTemporaries(backend, (keep) =>
    binary(backend, 'Prelu', keep(matMul(backend, a, b, options)), preluActivationWeights!),
  );
});

/** tf.fused.matMul: activation(op(a) · op(b) + bias), in one launch (two with prelu). */
import {_FusedMatMul, type _FusedMatMulAttrs, type TensorInfo} from '@tensorflow/tfjs-core';

import {activatedMatMul} from './activation.js';
import {areFloat32, createKernel, fallback} from './kernel.js';

interface Inputs {
  a: TensorInfo;
  b: TensorInfo;
  bias?: TensorInfo;
  preluActivationWeights?: TensorInfo;
}

export const fusedMatMulConfig = createKernel<Inputs, _FusedMatMulAttrs>(_FusedMatMul, (args) => {
  const {
    inputs: {a, b, bias, preluActivationWeights},
    attrs: {transposeA, transposeB, activation, leakyreluAlpha},
    backend,
  } = args;
  if (!areFloat32(a, b, bias, preluActivationWeights)) return fallback(_FusedMatMul, args);
  return activatedMatMul(
    backend,
    a,
    b,
    {transposeA, transposeB, bias},
    {activation, leakyreluAlpha, preluActivationWeights},
  );
});

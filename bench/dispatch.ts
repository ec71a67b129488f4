/**
 * Times the overhead of calling an op, with tensors so small that the arithmetic takes no time. It measures the backend
 * `specattn` and, where tfjs-node is installed, the same kernels as custom ops of TensorFlow's eager runtime.
 */
import * as tf from '@tensorflow/tfjs-core';

import {kvCacheAppend, linear, swiGLU} from '../ops/index.js';
import {importBackend} from '../backend/packages.js';
import {TENSORFLOW, describeTensorFlow, tensorflowInWords} from '../backend/tensorflow.js';
import {nativeBackend} from '../backend/current.js';
import {round, time} from './statistics.js';

export interface DispatchRow {
  backend: string;
  op: string;
  us: number;
  opsPerUs: number;
}

/** Checks and times ops on the current TensorFlow.js backend; `backend` is the name that the table shows. */
function dispatch(backend: string): DispatchRow[] {
  const [x, weight, norm] = [tf.tensor2d([[1, 2]]), tf.ones([2, 2]), tf.ones([2])];
  const [rows, position] = [tf.ones<tf.Rank.R3>([1, 1, 2]), tf.tensor1d([0], 'int32')];
  let cache = tf.zeros<tf.Rank.R3>([1, 2, 2]);
  const ops: Record<string, () => void> = {
    'SwiGLU, 1 input': () => swiGLU(x).dispose(),
    'Linear, 4 inputs': () => linear(x, weight, {norm, residual: x}).dispose(),
    'KVCacheAppend, donated': () => {
      const next = kvCacheAppend(cache, rows, position);
      cache.dispose();
      cache = next;
    },
    'tf.add': () => tf.add(x, x).dispose(),
  };
  const values = tf.tidy(() => [swiGLU(x), linear(x, weight, {norm, residual: x})].map((y) => y.dataSync()));
  const silu = 1 / (1 + Math.exp(-1));
  const normed = 3 / Math.sqrt(2.5 + 1e-5); // (1 + 2) / RMS
  const expected = [[2 * silu], [normed + 1, normed + 2]];
  values.forEach((value, i) =>
    expected[i].forEach((e, j) => {
      if (!(Math.abs(value[j] - e) < 1e-5))
        throw new Error(`[bench] ${Object.keys(ops)[i]} on ${backend} gave ${value[j]} but must give ${e}`);
    }),
  );
  const table = Object.entries(ops).map(([op, run]) => {
    const us = time(run, 2000) * 1e3;
    return {backend, op, us: round(us), opsPerUs: round(1 / us)};
  });
  tf.dispose([x, weight, norm, rows, position, cache]);
  return table;
}

/**
 * Times ops on the current native backend and on `tensorflow`, where there are these. Restores the current backend
 * afterwards.
 */
export async function benchDispatch(): Promise<DispatchRow[]> {
  const before = tf.getBackend();
  const native = nativeBackend();
  const table = native ? dispatch(`specattn, ${native.device.name}`) : [];
  if (importBackend(TENSORFLOW) === undefined && describeTensorFlow().reason === undefined) {
    await tf.setBackend(TENSORFLOW);
    table.push(...dispatch(`tensorflow, ${tensorflowInWords(tf.backend())}`));
  }
  await tf.setBackend(before);
  return table;
}

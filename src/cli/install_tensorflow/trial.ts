/** A separate program: `node trial.js FOLDER` loads tfjs-node from FOLDER, runs an op and prints a `Trial` as JSON. */
import type * as tfjs from '@tensorflow/tfjs-core';

import type {Trial} from './binding.js';

interface NodeBackend {
  binding: {TF_Version: string};
  isUsingGpuDevice: boolean;
}

// eslint-disable-next-line @typescript-eslint/no-require-imports -- the folder is known only at run time
const tf = require(process.argv[2]) as typeof tfjs;
const product = tf.matMul(tf.tensor2d([[1, 2, 3]]), tf.tensor2d([[4], [5], [6]])).dataSync()[0];
if (tf.getBackend() !== 'tensorflow' || product !== 32)
  throw new Error(
    `1·4 + 2·5 + 3·6 gave ${product} on the backend ${tf.getBackend()}, expected 32 on tensorflow`,
  );
const {binding, isUsingGpuDevice} = tf.backend() as unknown as NodeBackend;
const trial: Trial = {tensorflow: binding.TF_Version, usesGpu: isUsingGpuDevice};
process.stdout.write(`${JSON.stringify(trial)}\n`);

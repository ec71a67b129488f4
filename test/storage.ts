/** Conversions between storages (float32, bfloat16, float16) for tests of the native backend. */
import * as tf from '@tensorflow/tfjs-core';

import type {NativeBackend} from '../backend/index.js';

/** A copy of `x`, rounded to `storage`. */
export function narrow<T extends tf.Tensor>(x: T, storage: 'bfloat16' | 'float16'): T {
  const backend = tf.backend() as unknown as NativeBackend;
  const stored = backend.output(x.shape, 'float32', storage);
  backend.launch('Copy', [x], [stored]);
  return tf.engine().makeTensorFromTensorInfo(stored) as T;
}

/** A copy of `x` with the same values, stored as float32. */
export const widen = <T extends tf.Tensor>(x: T): T => tf.tensor(x.dataSync(), x.shape) as T;

/** Tensors in half the bytes, for tests of the native backend. */
import * as tf from '@tensorflow/tfjs-core';

import type {NativeBackend} from '../backend/index.js';

/** The same tensor, narrowed to half the bytes. */
export function narrow<T extends tf.Tensor>(x: T, storage: 'bfloat16' | 'float16'): T {
  const backend = tf.backend() as unknown as NativeBackend;
  const stored = backend.output(x.shape, 'float32', storage);
  backend.launch('Copy', [x], [stored]);
  return tf.engine().makeTensorFromTensorInfo(stored) as T;
}

/** The same values, stored in float32. */
export const widen = <T extends tf.Tensor>(x: T): T => tf.tensor(x.dataSync(), x.shape) as T;

/** Finds the native backend if it is TensorFlow.js's current backend, and waits for it. */
import * as tf from '@tensorflow/tfjs-core';

import type {SpecAttnBackend} from './backend.js';

/** The current backend if it is `specattn`, else undefined. */
export function nativeBackend(): SpecAttnBackend | undefined {
  const backend = tf.backend() as Partial<SpecAttnBackend>;
  return backend.isSpecAttn ? (backend as SpecAttnBackend) : undefined;
}

/** Waits until every queued launch has run, so that a timer started afterwards does not count them. */
export function settle(): void {
  nativeBackend()?.synchronize();
}

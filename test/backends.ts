/** One test body for every backend present. */
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-cpu';
import {expect} from 'chai';

import {BACKEND, describeDevices, type SpecAttnBackend} from '../src/backend/index.js';

/** `specattn` runs the native kernels, `cpu` (tfjs-backend-cpu) the composed fallbacks. */
export type BackendName = 'specattn' | 'cpu';

/**
 * Whether the current backend runs on CUDA. What the devices promise of a row's bits differs: "One value a row" in
 * docs/architecture.md.
 */
export const isCuda = (): boolean =>
  tf.getBackend() === BACKEND && (tf.backend() as SpecAttnBackend).device.name === 'cuda';

/** On CUDA a row has the same bits in every block of so many rows. */
export const SAME_BITS_ROWS = 32;

/**
 * A `describe` on each backend. Tensors that a test makes are disposed of after it, and nothing else may be left on the backend
 * then. Without the native addon the `specattn` suite is skipped; its title says why.
 */
export function forEachBackend(title: string, body: (backend: BackendName) => void): void {
  onBackend('cpu', title, body);
  onBackend('specattn', title, body);
}

/** The same for one backend: what only the native one promises. */
export function onBackend(backend: BackendName, title: string, body: (backend: BackendName) => void): void {
  const missing = backend === BACKEND ? describeDevices().reason : undefined;
  if (missing !== undefined) {
    describe.skip(`${title} on ${backend} (${missing})`, () => body(backend));
    return;
  }
  describe(`${title} on ${backend}`, () => {
    let tensors = 0;
    let buffers = 0;

    before(async () => {
      await tf.setBackend(backend);
    });

    beforeEach(() => {
      tensors = tf.memory().numTensors;
      buffers = tf.engine().backend.numDataIds();
      tf.engine().startScope();
    });

    afterEach(() => {
      tf.engine().endScope();
      expect(tf.memory().numTensors, 'tensors left').to.equal(tensors);
      expect(tf.engine().backend.numDataIds(), 'buffers left').to.equal(buffers);
    });

    body(backend);
  });
}

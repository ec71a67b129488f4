/** One test body for every backend present. */
import {existsSync} from 'node:fs';
import * as path from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-cpu';
import {expect} from 'chai';

import {packageRoot} from '../backend/addon.js';
import {BACKEND, describeDevices, type SpecAttnBackend} from '../backend/index.js';
import {importBackend} from '../backend/packages.js';
import {TENSORFLOW, describeTensorFlow} from '../backend/tensorflow.js';

/**
 * `specattn` and `tensorflow` (@tensorflow/tfjs-node or -gpu) run the native kernels, `cpu` (tfjs-backend-cpu) the composed fallbacks.
 */
export type BackendName = 'specattn' | 'tensorflow' | 'cpu';

/** Whether the ops are native kernels. */
export const isNative = (backend: BackendName): boolean => backend !== 'cpu';

/**
 * Whether the current backend runs on CUDA. What the devices promise of a row's bits differs: "One value a row" in
 * docs/architecture.md.
 */
export const isCuda = (): boolean =>
  tf.getBackend() === BACKEND && (tf.backend() as SpecAttnBackend).device.name === 'cuda';

/** On CUDA a row has the same bits in every block of so many rows. */
export const SAME_BITS_ROWS = 32;

/** Why a backend is not there to be tested; undefined where it is. */
export function missing(backend: BackendName): string | undefined {
  if (backend === 'cpu') return undefined;
  const {reason} = describeDevices();
  if (backend === BACKEND || reason !== undefined) return reason;
  // What is installed must work: only what is not is passed over.
  const folder = ['tfjs-node-gpu', 'tfjs-node']
    .map((name) => path.join(packageRoot, 'node_modules', '@tensorflow', name))
    .find((name) => existsSync(name));
  if (!folder) return '@tensorflow/tfjs-node is not installed';
  return existsSync(path.join(folder, 'lib')) ? undefined : `${path.basename(folder)} has no binding`;
}

/** Makes `backend` the current one. */
async function start(backend: BackendName): Promise<void> {
  if (backend === TENSORFLOW) {
    expect(importBackend(backend), 'why tfjs-node was not loaded').to.equal(undefined);
    expect(describeTensorFlow().reason, 'why our kernels are not its ops').to.equal(undefined);
  }
  await tf.setBackend(backend);
}

/**
 * A `describe` on each backend. Tensors that a test makes are disposed of after it, and nothing else may be left on the backend
 * then. Without the native addon the suite of `specattn` is skipped, without tfjs-node that of `tensorflow`; the title says why.
 */
export function forEachBackend(title: string, body: (backend: BackendName) => void): void {
  onBackend('cpu', title, body);
  onBackend('specattn', title, body);
  onBackend('tensorflow', title, body);
}

/** The same for one backend: what only the native one promises. */
export function onBackend(backend: BackendName, title: string, body: (backend: BackendName) => void): void {
  const reason = missing(backend);
  if (reason !== undefined) {
    describe.skip(`${title} on ${backend} (${reason})`, () => body(backend));
    return;
  }
  describe(`${title} on ${backend}`, () => {
    let tensors = 0;
    let buffers = 0;

    before(() => start(backend));

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

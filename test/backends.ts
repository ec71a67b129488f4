/** Runs one test body on every backend that is present. */
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
 * `specattn` and `tensorflow` (@tensorflow/tfjs-node or -gpu) run the native kernels, and `cpu` (tfjs-backend-cpu) the composed fallbacks.
 */
export type BackendName = 'specattn' | 'tensorflow' | 'cpu';

/** Whether the backend runs the ops as native kernels. */
export const isNative = (backend: BackendName): boolean => backend !== 'cpu';

/**
 * Whether the current backend runs on CUDA. The devices make different promises about the bits of a row's result: see
 * "A row's result does not depend on its block" in docs/architecture.md.
 */
export const isCuda = (): boolean =>
  tf.getBackend() === BACKEND && (tf.backend() as SpecAttnBackend).device.name === 'cuda';

/** On CUDA a row's result has the same bits in every block of up to this many rows. */
export const SAME_BITS_ROWS = 32;

/** The reason why a backend cannot be tested here; undefined if it can. */
export function missing(backend: BackendName): string | undefined {
  if (backend === 'cpu') return undefined;
  const {reason} = describeDevices();
  if (backend === BACKEND || reason !== undefined) return reason;
  // A test is skipped only if tfjs-node is not installed. If it is installed, it must work.
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
 * A `describe` on each backend. The tensors that a test makes are disposed of after the test, and then the backend must hold no more
 * tensors and buffers than before. Without the native addon the suites of `specattn` and `tensorflow` are skipped, and without
 * tfjs-node the suite of `tensorflow`; the title gives the reason.
 */
export function forEachBackend(title: string, body: (backend: BackendName) => void): void {
  onBackend('cpu', title, body);
  onBackend('specattn', title, body);
  onBackend('tensorflow', title, body);
}

/** {@link forEachBackend} for one backend, for promises that only this backend makes. */
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

/** Chooses the TF.js backend that models run on, and says in words where its tensors live. */
import * as tf from '@tensorflow/tfjs-core';

import {nativeBackend} from './current.js';
import {homeRemedy} from './home.js';
import {BACKEND, describeDevices} from './index.js';
import {importable, importBackend} from './packages.js';
import {TENSORFLOW, tensorflowInWords} from './tensorflow.js';

/** Whether the slow backend was warned of, which is done once. */
let warned = false;

/**
 * Makes `wanted` TensorFlow.js's current backend, and imports the package of one that is not registered yet.
 * @param wanted undefined: the current one if there is one, else `specattn` where the addon is there, else `cpu`
 * @throws Error where there is no such backend, or it could not be started, with the reason
 */
export async function useBackend(wanted: string | undefined): Promise<void> {
  const engine = tf.engine();
  const name = wanted ?? engine.backendName ?? (tf.findBackendFactory(BACKEND) ? BACKEND : 'cpu');
  if (!tf.findBackendFactory(name) && importable.includes(name)) {
    const missing = importBackend(name);
    if (missing) throw new Error(`[load] backend '${name}' could not be loaded: ${missing}`);
  }
  if (!tf.findBackendFactory(name)) {
    const known = [...new Set([BACKEND, ...importable, ...Object.keys(engine.registryFactory)])].join(', ');
    const reason = name === BACKEND ? `: ${describeDevices().reason}` : '';
    throw new Error(`[load] backend must be one of ${known} but is '${name}'${reason}`);
  }
  const {device, reason} = describeDevices();
  if (name === BACKEND && !device)
    throw new Error(`[load] backend '${BACKEND}' could not be started: ${reason}`);
  if (engine.backendName !== name && !(await tf.setBackend(name)))
    throw new Error(
      `[load] backend '${name}' could not be started${name === BACKEND ? `: ${describeDevices().reason}` : ''}`,
    );
  await tf.ready();
  if (wanted === undefined && name === 'cpu' && reason && !warned) {
    warned = true;
    const remedy = process.env.SPECATTN_DEVICE
      ? 'Without SPECATTN_DEVICE the native device is used.'
      : homeRemedy !== undefined
        ? '' // the reason says what to do
        : "To get the native device, install g++ 11 and cmake 3.18 or newer, then run 'npm rebuild specattn' (in a clone: 'npm run build:native').";
    console.warn(
      `specattn: running on the composed ops of tfjs-backend-cpu, which is slow (${reason}). ${remedy}`.trimEnd(),
    );
  }
}

/** Where tensors live, in words. */
export function describeBackend(): string {
  const native = nativeBackend();
  if (native) return `${native.device.name} (${native.device.description})`;
  const name = tf.getBackend();
  const kernels = name === TENSORFLOW ? tensorflowInWords(tf.backend()) : undefined;
  return `tfjs backend '${name}', ${kernels ? `native ops in ${kernels}` : 'composed ops'}`;
}

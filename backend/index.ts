/** Registers the TF.js backend `specattn` where the native addon is there, and says what was found. */
import * as tf from '@tensorflow/tfjs-core';
import {getKernel, getKernelsForBackend, registerKernel} from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-cpu';

import {loadAddon, type DeviceProbe, type NativeDevice} from './addon.js';
import {SpecAttnBackend} from './backend.js';
import {runFallback} from './fallback.js';
import {BACKEND} from './types.js';
import {kernelConfigs} from './kernels/index.js';

/** What `specattn doctor` reports. */
export interface DeviceReport {
  /** The device in use, or the one that would be: `cuda`, `cpu`, or undefined where the addon is missing. */
  device?: string;
  devices: DeviceProbe[];
  /** Why there is no native device. */
  reason?: string;
}

// tfjs-backend-cpu greets the first user in Node with advice to install tfjs-node; graphs keep their shapes on it.
(tf.findBackend('cpu') as unknown as {firstUse: boolean}).firstUse = false;

const loaded = loadAddon();

/** What was found, looked for once; a device that would not open is no longer available. */
let found: DeviceProbe[] | undefined;

/** Opens the device that `SPECATTN_DEVICE` names, else the first that works, the GPU before the CPU. */
function openDevice(): NativeDevice {
  if (!('addon' in loaded)) throw new Error(loaded.reason);
  for (;;) {
    const {device, devices, reason} = describeDevices();
    if (!device) throw new Error(reason);
    try {
      return new loaded.addon.Device(device);
    } catch (error) {
      // No memory left on it, no machine code for it: what a look at it does not show.
      const {message} = error as Error;
      found = devices.map((probe) =>
        probe.name === device ? {...probe, available: false, reason: message} : probe,
      );
      if (!process.env.SPECATTN_DEVICE)
        console.warn(`specattn: the device ${device} can't be used: ${message}`);
    }
  }
}

/** What this machine offers, and why the rest is not used. */
export function describeDevices(): DeviceReport {
  if (!('addon' in loaded)) return {devices: [], reason: loaded.reason};
  const devices = (found ??= loaded.addon.probe());
  const threads = process.env.SPECATTN_THREADS;
  if (threads !== undefined && !/^[1-9]\d{0,2}$/.test(threads))
    return {devices, reason: `SPECATTN_THREADS must be a whole number from 1 to 999 but is '${threads}'`};
  const wanted = process.env.SPECATTN_DEVICE;
  const device = devices.find(({name, available}) => available && (!wanted || name === wanted))?.name;
  if (device) return {device, devices};
  if (!wanted) return {devices, reason: devices.map(({name, reason}) => `${name}: ${reason}`).join('; ')};
  const names = [...devices.map(({name}) => name), 'none'];
  const asked = devices.find(({name}) => name === wanted);
  const reason = asked
    ? `SPECATTN_DEVICE asks for ${wanted}, but ${asked.reason}`
    : `SPECATTN_DEVICE must be one of ${names.join(', ')} but is '${wanted}'`;
  return {devices, reason};
}

if ('addon' in loaded) {
  const {addon} = loaded;
  // Above tfjs-backend-cpu's 1, below tfjs-node's 3: who imports tfjs-node keeps it.
  tf.registerBackend(BACKEND, () => new SpecAttnBackend(addon, openDevice()), 2);
  const native = new Set(kernelConfigs.map(({kernelName}) => kernelName));
  kernelConfigs.forEach((config) => registerKernel(config));
  for (const {kernelName} of getKernelsForBackend('cpu')) {
    // Not over the kernels of ops/, which may be registered by now.
    if (!native.has(kernelName) && !getKernel(kernelName, BACKEND))
      registerKernel({kernelName, backendName: BACKEND, kernelFunc: (args) => runFallback(kernelName, args)});
  }
}

export {SpecAttnBackend} from './backend.js';
export type {SpecAttnMemoryInfo} from './tensors.js';
export {Capture, type CaptureStep} from './capture.js';
export {BACKEND, type NativeBackend, type Storage} from './types.js';
export type {DeviceProbe} from './addon.js';

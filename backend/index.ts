/**
 * Importing this file registers the TF.js backend `specattn` and its kernels if the native addon is there;
 * `describeDevices` says what was found.
 */
import * as tf from '@tensorflow/tfjs-core';
import {getKernel, getKernelsForBackend, registerKernel} from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-cpu';

import {loadAddon, type DeviceProbe, type NativeDevice} from './addon.js';
import {SpecAttnBackend} from './backend.js';
import {runFallback} from './fallback.js';
import {BACKEND} from './types.js';
import {kernelConfigs} from './kernels/index.js';

/** The devices of this machine, as `specattn doctor` reports them. */
export interface DeviceReport {
  /** `cuda` or `cpu`: the device that the backend uses, or would use. Undefined if there is none, for `reason`. */
  device?: string;
  devices: DeviceProbe[];
  /** Why no native device can be used. */
  reason?: string;
}

// At its first use in Node tfjs-backend-cpu prints advice to install tfjs-node. Executing a graph uses it, so the
// advice is switched off.
(tf.findBackend('cpu') as unknown as {firstUse: boolean}).firstUse = false;

const loaded = loadAddon();

/** The result of probing, which happens once. A device that fails to open is marked as unavailable here. */
let found: DeviceProbe[] | undefined;

/** Opens the device that `SPECATTN_DEVICE` names, or else the first that works; the GPU is tried before the CPU. */
function openDevice(): NativeDevice {
  if (!('addon' in loaded)) throw new Error(loaded.reason);
  for (;;) {
    const {device, devices, reason} = describeDevices();
    if (!device) throw new Error(reason);
    try {
      return new loaded.addon.Device(device);
    } catch (error) {
      // Probing does not find every fault: the GPU may have no free memory, or the addon no machine code for it.
      const {message} = error as Error;
      found = devices.map((probe) =>
        probe.name === device ? {...probe, available: false, reason: message} : probe,
      );
      if (!process.env.SPECATTN_DEVICE)
        console.warn(`specattn: the device ${device} can't be used: ${message}`);
    }
  }
}

/** The devices of this machine, which of them is used, and why the others are not. */
export function describeDevices(): DeviceReport {
  if (!('addon' in loaded)) return {devices: [], reason: loaded.reason};
  const devices = (found ??= loaded.addon.probe());
  const threads = process.env.SPECATTN_THREADS;
  const {maxThreads} = loaded.addon;
  if (threads !== undefined && !(/^[1-9]\d*$/.test(threads) && Number(threads) <= maxThreads))
    return {
      devices,
      reason: `SPECATTN_THREADS must be a whole number from 1 to ${maxThreads} but is '${threads}'`,
    };
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
  // The priority is above tfjs-backend-cpu's 1 and below tfjs-node's 3: a program that imports tfjs-node keeps it as
  // its default.
  tf.registerBackend(BACKEND, () => new SpecAttnBackend(addon, openDevice()), 2);
  const native = new Set(kernelConfigs.map(({kernelName}) => kernelName));
  kernelConfigs.forEach((config) => registerKernel(config));
  for (const {kernelName} of getKernelsForBackend('cpu')) {
    // The ops of ops/ may have registered their native kernels already: those stay.
    if (!native.has(kernelName) && !getKernel(kernelName, BACKEND))
      registerKernel({kernelName, backendName: BACKEND, kernelFunc: (args) => runFallback(kernelName, args)});
  }
}

export {SpecAttnBackend} from './backend.js';
export type {SpecAttnMemoryInfo} from './tensors.js';
export {Capture, type CaptureStep} from './capture.js';
export {BACKEND, type NativeBackend, type Storage} from './types.js';
export type {DeviceProbe} from './addon.js';

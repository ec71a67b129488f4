/** Finds and loads the native addon, or says why it cannot be used. Its interface is declared here. */
import {existsSync} from 'node:fs';
import {createRequire} from 'node:module';
import * as path from 'node:path';

import {here, homeRemedy, packageRoot} from './home.js';

/**
 * One native device, implemented by `cuda/addon/`. Buffers and captures are named by numbers. Every method throws an
 * Error if it fails.
 */
export interface NativeDevice {
  readonly name: string;
  /** The hardware, for people. */
  readonly description: string;
  /** Whether a launch returns before it has run. */
  readonly asynchronous: boolean;
  /** Memory shared with C++. `launch` reads the next launch from it; see `descriptor.ts`. */
  readonly descriptor: Float64Array;
  /** Queues the launch that `descriptor` describes; between `beginCapture` and `endCapture` it is recorded instead. */
  launch(): void;
  /**
   * Returns the new buffer's handle.
   * @param apart 1 during a capture: memory that no other capture of its pool writes
   */
  allocate(bytes: number, apart?: 0 | 1): number;
  free(handle: number): void;
  write(handle: number, byteOffset: number, from: ArrayBufferView): void;
  /**
   * Writes `bytes` of an open file from `position` on. An error's message does not name the file: the caller puts its
   * name first.
   */
  writeFromFile(handle: number, byteOffset: number, fd: number, position: number, bytes: number): void;
  read(handle: number, byteOffset: number, into: ArrayBufferView): void;
  /** Waits until everything that was queued has run. */
  synchronize(): void;
  /** The number of a pool for captures that share the memory of intermediate results. */
  newCapturePool(): number;
  /** @param pool left out: the capture has a pool of its own */
  beginCapture(pool?: number): void;
  /** Returns the capture's number. */
  endCapture(): number;
  /** Ends a stretch of the capture. Each stretch is timed on its own. */
  mark(): void;
  /** Makes each later replay copy the buffer to the host. Returns the output's number. */
  addOutput(capture: number, handle: number): number;
  /** Queues the captured launches, then the copies of the outputs. */
  replay(capture: number): void;
  /**
   * Waits for the last replay (`back` 0) or the one before it (`back` 1), then writes the output's values after it to
   * `into`.
   */
  readOutput(capture: number, output: number, back: number, into: ArrayBufferView): void;
  /**
   * Writes the milliseconds of each stretch of that replay to `descriptor` and returns the number of stretches. Its
   * outputs must have been read.
   */
  times(capture: number, back: number): number;
  /** Number of kernels that a replay runs. */
  launches(capture: number): number;
  freeCapture(capture: number): void;
  memory(): {bytesInUse: number; bytesReserved: number; bytesFree: number; buffers: number};
  /** Frees the memory that the allocator keeps for later buffers. */
  trim(): void;
}

/** Whether this machine has a device that the addon can use. */
export interface DeviceProbe {
  name: string;
  available: boolean;
  /** The hardware, for people; empty where there is none. */
  description: string;
  /** Why the device can't be used; empty if it can. */
  reason: string;
}

export interface Addon {
  Device: new (name: string) => NativeDevice;
  probe(): DeviceProbe[];
  /** A kernel's number is its place here. Bit i of `half` says that the kernel reads input i as bfloat16 or float16. */
  kernels: {name: string; half: number}[];
  /** The most threads that `SPECATTN_THREADS` may ask for. */
  maxThreads: number;
  /** A pointer to the native devices, which the TensorFlow adapter takes. */
  devices: unknown;
}

export {packageRoot};

/** The addon's file. The environment variable `SPECATTN_ADDON` names another file. */
export function addonFile(): string {
  return process.env.SPECATTN_ADDON ?? path.join(packageRoot, 'build', 'Release', 'specattn.node');
}

/** The addon, or the reason why there is none. `SPECATTN_DEVICE=none` asks for none. */
export function loadAddon(): {addon: Addon} | {reason: string} {
  if (process.env.SPECATTN_DEVICE === 'none')
    return {reason: 'SPECATTN_DEVICE=none asks for no native device'};
  const file = addonFile();
  if (!existsSync(file))
    return {reason: `${file} does not exist: ${homeRemedy ?? 'the native addon was not built'}`};
  try {
    return {addon: createRequire(here)(file) as Addon};
  } catch (error) {
    return {reason: `${file} could not be loaded: ${(error as Error).message}`};
  }
}

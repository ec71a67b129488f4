/** Finds and loads the native addon; keeps the reasons when there is none. */
import {existsSync} from 'node:fs';
import {createRequire} from 'node:module';
import * as path from 'node:path';

/** One native device: buffers by handle, launches, captures. See `cuda/addon/addon.cc`. */
export interface NativeDevice {
  readonly name: string;
  readonly description: string;
  /** Whether launches return before they have run. */
  readonly asynchronous: boolean;
  /** The next launch: kernel, inputs, outputs, attrs, {handle, dtype, rank, dims...}..., attrs... */
  readonly descriptor: Float64Array;
  launch(): void;
  allocate(bytes: number): number;
  free(handle: number): void;
  write(handle: number, byteOffset: number, from: ArrayBufferView): void;
  /** Bytes of an open file; an error's text is to follow the file's name. */
  writeFromFile(handle: number, byteOffset: number, fd: number, position: number, bytes: number): void;
  read(handle: number, byteOffset: number, into: ArrayBufferView): void;
  synchronize(): void;
  beginCapture(): void;
  endCapture(): number;
  /** Ends a stretch of the recording that is timed on its own. */
  mark(): void;
  /** What the buffer holds after every replay from now on can be read; returns the output's number. */
  addOutput(capture: number, handle: number): number;
  /** Queues the launches, then copies of the outputs. */
  replay(capture: number): void;
  /** An output's values after the last replay (`back` 0) or the one before it (1), for which it waits. */
  readOutput(capture: number, output: number, back: number, into: ArrayBufferView): void;
  /** The same replay's milliseconds, stretch by stretch, in `descriptor`; returns how many. When the outputs were read. */
  times(capture: number, back: number): number;
  /** Kernels that a replay runs. */
  launches(capture: number): number;
  freeCapture(capture: number): void;
  memory(): {bytesInUse: number; bytesReserved: number; bytesFree: number; buffers: number};
  trim(): void;
}

/** What a look at the machine found of one device. */
export interface DeviceProbe {
  name: string;
  available: boolean;
  /** The hardware, in words; empty where there is none. */
  description: string;
  /** Why the device can't be used; empty where it can. */
  reason: string;
}

export interface Addon {
  Device: new (name: string) => NativeDevice;
  probe(): DeviceProbe[];
  /** By number; bit i of `half`: reads input i stored as bfloat16 or float16. */
  kernels: {name: string; half: number}[];
  /** The most threads that `SPECATTN_THREADS` may ask for. */
  maxThreads: number;
  /** For the TensorFlow adapter. */
  devices: unknown;
}

/** The package's folder: the one with package.json above this file, in the sources as in dist/. Without one (a bundle), this file's own. */
export const packageRoot = (() => {
  for (let folder = __dirname; ; folder = path.dirname(folder)) {
    if (existsSync(path.join(folder, 'package.json'))) return folder;
    if (folder === path.dirname(folder)) return __dirname;
  }
})();

/** The addon's file; `SPECATTN_ADDON` names another one. */
export function addonFile(): string {
  return process.env.SPECATTN_ADDON ?? path.join(packageRoot, 'build', 'Release', 'specattn.node');
}

/** The addon, or why there is none. `SPECATTN_DEVICE=none` goes without. */
export function loadAddon(): {addon: Addon} | {reason: string} {
  if (process.env.SPECATTN_DEVICE === 'none')
    return {reason: 'SPECATTN_DEVICE=none asks for no native device'};
  const file = addonFile();
  if (!existsSync(file)) return {reason: `${file} does not exist: the native addon was not built`};
  try {
    return {addon: createRequire(__filename)(file) as Addon};
  } catch (error) {
    return {reason: `${file} could not be loaded: ${(error as Error).message}`};
  }
}

/** What all kernels here share: the guard for dtypes that have no native kernels, and one launch with one output. */
import type {KernelConfig, NamedTensorInfoMap, TensorInfo} from '@tensorflow/tfjs-core';

import {runFallback} from '../fallback.js';
import {BACKEND, type NativeBackend, type NativeDType, type Storage} from '../types.js';

export interface KernelArgs<Inputs, Attrs> {
  inputs: Inputs;
  attrs: Attrs;
  backend: NativeBackend;
}

type Run<Inputs, Attrs> = (args: KernelArgs<Inputs, Attrs>) => TensorInfo | TensorInfo[];

/**
 * An error of TensorFlow.js's kernel that this one does not throw. It is the only thing a kernel may lack: a spec of TensorFlow.js's own
 * suite that misses a declared error is excused (`npm run test:conformance`), one that gets a wrong value never.
 */
export interface MissingError<Inputs, Attrs = object> {
  /** What the arguments have that is not refused: 'an index out of range'. */
  of: string;
  /** What comes instead, and why. */
  reason: string;
  /** Whether a call has such arguments. It reads tensors, so only the suite asks. */
  applies(args: KernelArgs<Inputs, Attrs>, values: (x: TensorInfo) => ArrayLike<number>): boolean;
}

export interface NativeKernelConfig extends KernelConfig {
  missingError?: MissingError<NamedTensorInfoMap>;
}

/** The kernel `kernelName` of this backend, whatever the dtypes of its inputs. */
export function createUntypedKernel<Inputs, Attrs = object>(
  kernelName: string,
  run: Run<Inputs, Attrs>,
): KernelConfig {
  return {
    kernelName,
    backendName: BACKEND,
    kernelFunc: (args) => run(args as unknown as KernelArgs<Inputs, Attrs>),
  };
}

/** The same for float32, int32 and bool inputs; with a string or complex64 one tfjs-backend-cpu's kernel runs. */
export function createKernel<Inputs, Attrs = object>(
  kernelName: string,
  run: Run<Inputs, Attrs>,
  missingError?: MissingError<Inputs, Attrs>,
): NativeKernelConfig {
  const config = createUntypedKernel<Inputs, Attrs>(kernelName, (args) =>
    hasNativeDTypes(args.inputs as NamedTensorInfoMap) ? run(args) : fallback(kernelName, args),
  );
  return missingError
    ? {...config, missingError: missingError as NativeKernelConfig['missingError']}
    : config;
}

/** Hands a call over to tfjs-backend-cpu. */
export function fallback<Inputs, Attrs>(
  kernelName: string,
  args: KernelArgs<Inputs, Attrs>,
): TensorInfo | TensorInfo[] {
  return runFallback(kernelName, args as unknown as Parameters<typeof runFallback>[1]);
}

export function isNativeDType(dtype: string): dtype is NativeDType {
  return dtype === 'float32' || dtype === 'int32' || dtype === 'bool';
}

/** Whether all inputs that are there are float32. */
export function areFloat32(...inputs: readonly (TensorInfo | undefined)[]): boolean {
  return inputs.every((x) => !x || x.dtype === 'float32');
}

// Called on every kernel call: `for in` serves lists of inputs too, and makes nothing.
function hasNativeDTypes(inputs: NamedTensorInfoMap): boolean {
  for (const name in inputs) {
    const x = inputs[name];
    if (x && !isNativeDType(x.dtype)) return false;
  }
  return true;
}

/** One launch into one new tensor. */
export function compute(
  backend: NativeBackend,
  kernel: string,
  inputs: TensorInfo[],
  shape: number[],
  dtype: NativeDType,
  attrs?: number[],
  storage?: Storage,
): TensorInfo {
  const y = backend.output(shape, dtype, storage);
  try {
    backend.launch(kernel, inputs, [y], attrs);
  } catch (error) {
    backend.disposeIntermediateTensorInfo(y);
    throw error;
  }
  return y;
}

/** Marks a tensor as a temporary of {@link withTemporaries}; returns it. */
export type Keep = (x: TensorInfo) => TensorInfo;

/** What `work` returns. The tensors that it kept are freed after it, also where it throws. */
export function withTemporaries<T>(backend: NativeBackend, work: (keep: Keep) => T): T {
  const temporaries: TensorInfo[] = [];
  try {
    return work((x) => (temporaries.push(x), x));
  } finally {
    for (const x of temporaries) backend.disposeIntermediateTensorInfo(x);
  }
}

/** As many new tensors, made in turn; where one can't be made, those before it are freed. */
export function computeAll(
  backend: NativeBackend,
  count: number,
  make: (i: number) => TensorInfo,
): TensorInfo[] {
  const made: TensorInfo[] = [];
  try {
    for (let i = 0; i < count; i++) made.push(make(i));
  } catch (error) {
    for (const x of made) backend.disposeIntermediateTensorInfo(x);
    throw error;
  }
  return made;
}

/** `x` as `dtype`: a new reference to it if it is that already. */
export function cast(backend: NativeBackend, x: TensorInfo, dtype: NativeDType): TensorInfo {
  return x.dtype === dtype ? backend.alias(x) : compute(backend, 'Cast', [x], x.shape, dtype);
}

/** The dtype of an input that passed the guard. */
export function nativeDType(x: TensorInfo): NativeDType {
  return x.dtype as NativeDType;
}

export function sameShape(a: readonly number[], b: readonly number[]): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

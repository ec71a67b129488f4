/**
 * What the standard kernels share: the guard against dtypes without native kernels, launches with one output,
 * temporaries and casts.
 */
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
 * Declares an error that TensorFlow.js's kernel throws and this kernel does not. In TensorFlow.js's own suite
 * (`npm run test:conformance`) a spec may fail for a declared missing error, but never for a wrong value.
 */
export interface MissingError<Inputs, Attrs = object> {
  /** The fault in the arguments, such as 'an index out of range'. */
  of: string;
  /** What the kernel does instead of throwing, and why. */
  reason: string;
  /** Whether a call has such arguments. This reads tensors, so only the conformance suite calls it. */
  applies(args: KernelArgs<Inputs, Attrs>, values: (x: TensorInfo) => ArrayLike<number>): boolean;
}

export interface NativeKernelConfig extends KernelConfig {
  missingError?: MissingError<NamedTensorInfoMap>;
}

/** The kernel `kernelName` of this backend, for inputs of all dtypes. */
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

/**
 * The kernel `kernelName` for float32, int32 and bool inputs. With a string or complex64 input tfjs-backend-cpu's
 * kernel runs.
 */
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

/** Whether all inputs that are not undefined are float32. */
export function areFloat32(...inputs: readonly (TensorInfo | undefined)[]): boolean {
  return inputs.every((x) => !x || x.dtype === 'float32');
}

// Runs at every kernel call. `for in` works for lists of inputs too, and allocates nothing.
function hasNativeDTypes(inputs: NamedTensorInfoMap): boolean {
  for (const name in inputs) {
    const x = inputs[name];
    if (x && !isNativeDType(x.dtype)) return false;
  }
  return true;
}

/** Runs one launch that writes one new tensor. The tensor is freed if the launch is refused. */
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

/** Marks a tensor as a temporary of {@link withTemporaries}, and returns it. */
export type Keep = (x: TensorInfo) => TensorInfo;

/**
 * Runs `work` and returns its result. The tensors that `work` marked with `keep` are freed afterwards, also if it
 * throws.
 */
export function withTemporaries<T>(backend: NativeBackend, work: (keep: Keep) => T): T {
  const temporaries: TensorInfo[] = [];
  try {
    return work((x) => (temporaries.push(x), x));
  } finally {
    for (const x of temporaries) backend.disposeIntermediateTensorInfo(x);
  }
}

/** Makes `count` new tensors in turn. If one can't be made, those before it are freed. */
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

/** `x` as `dtype`: a new tensor, or a new reference if `x` is of that dtype already. */
export function cast(backend: NativeBackend, x: TensorInfo, dtype: NativeDType): TensorInfo {
  return x.dtype === dtype ? backend.alias(x) : compute(backend, 'Cast', [x], x.shape, dtype);
}

/** The dtype of an input that has passed the guard of {@link createKernel}. */
export function nativeDType(x: TensorInfo): NativeDType {
  return x.dtype as NativeDType;
}

export function sameShape(a: readonly number[], b: readonly number[]): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

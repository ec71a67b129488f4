/**
 * The interface between kernels (in `ops/` and `backend/kernels/`) and the backend that they run on, and the types of
 * its data.
 */
import type {TensorInfo} from '@tensorflow/tfjs-core';

/**
 * How a tensor's elements are stored in native memory. A float32 tensor may be stored in any of the three float types.
 */
export type Storage = 'float32' | 'bfloat16' | 'float16' | 'int32' | 'bool';

/** Bytes of one element. */
export const BYTES: Readonly<Record<Storage, number>> = {
  float32: 4,
  bfloat16: 2,
  float16: 2,
  int32: 4,
  bool: 1,
};

/** A range of bytes in an open file. */
export interface FilePart {
  /** The file's name, for errors. */
  file: string;
  fd: number;
  /** Offset of the first byte in the file. */
  position: number;
  byteLength: number;
}

/** A new array that holds a tensor's elements as they are stored in native memory. */
export function hostArray(
  storage: Exclude<Storage, 'bfloat16' | 'float16'>,
  elements: number,
): Float32Array | Int32Array | Uint8Array {
  if (storage === 'int32') return new Int32Array(elements);
  return storage === 'bool' ? new Uint8Array(elements) : new Float32Array(elements);
}

/** Whether `storage` takes 16 bits an element. */
export function isHalf(storage: Storage): storage is 'bfloat16' | 'float16' {
  return storage === 'bfloat16' || storage === 'float16';
}

/** The native backend's name. It has no `_`, at which tfjs-core's kernel registry splits its keys. */
export const BACKEND = 'specattn';

/** The dtypes that native kernels write. */
export type NativeDType = 'float32' | 'int32' | 'bool';

export interface NativeBackend {
  /**
   * A new tensor, not initialised, for a launch to write. `storage` defaults to the dtype's own. During a capture `apart`
   * asks for memory that no other capture of the same pool writes.
   */
  output(shape: number[], dtype: NativeDType, storage?: Storage, apart?: boolean): TensorInfo;
  /** The same buffer under another shape, without a copy: the result of Reshape, or of a donated input. */
  alias(x: TensorInfo, shape?: number[]): TensorInfo;
  /** How `x` is stored. */
  storageOf(x: TensorInfo): Storage;
  /**
   * Queues the native kernel `kernel`, a name in `cuda/kernels.def`. Inputs stored as bfloat16 or float16 are first
   * widened to float32 unless the kernel reads them as they are.
   * @throws Error with the launcher's message if the launcher refuses its arguments
   */
  launch(kernel: string, inputs: TensorInfo[], outputs: TensorInfo[], attrs?: number[]): void;
  /** Releases a tensor that `output` or `alias` made and that the kernel does not return. */
  disposeIntermediateTensorInfo(x: TensorInfo): void;
}

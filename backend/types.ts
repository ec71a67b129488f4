/** What kernels (in `ops/` and `backend/kernels/`) see of the backend. */
import type {TensorInfo} from '@tensorflow/tfjs-core';

/** How a tensor's elements lie in native memory. A float32 tensor may be stored in any of the three float types. */
export type Storage = 'float32' | 'bfloat16' | 'float16' | 'int32' | 'bool';

/** Bytes of one element. */
export const BYTES: Readonly<Record<Storage, number>> = {
  float32: 4,
  bfloat16: 2,
  float16: 2,
  int32: 4,
  bool: 1,
};

/** Bytes that lie in an open file. */
export interface FilePart {
  /** For errors. */
  file: string;
  fd: number;
  /** Of the first byte. */
  position: number;
  byteLength: number;
}

/** An array for a tensor's elements, as they lie in native memory. */
export function hostArray(
  storage: Exclude<Storage, 'bfloat16' | 'float16'>,
  elements: number,
): Float32Array | Int32Array | Uint8Array {
  if (storage === 'int32') return new Int32Array(elements);
  return storage === 'bool' ? new Uint8Array(elements) : new Float32Array(elements);
}

/** Whether `storage` takes half the bytes. */
export function isHalf(storage: Storage): storage is 'bfloat16' | 'float16' {
  return storage === 'bfloat16' || storage === 'float16';
}

/** The native backend's name: without `_`, where tfjs-core's kernel registry splits its keys. */
export const BACKEND = 'specattn';

/** The dtypes that native kernels write. */
export type NativeDType = 'float32' | 'int32' | 'bool';

export interface NativeBackend {
  /** A new tensor with unwritten contents, for a launch to write. `storage` defaults to the dtype's own. */
  output(shape: number[], dtype: NativeDType, storage?: Storage): TensorInfo;
  /** The same buffer under another shape (and nothing copied): the result of Reshape, or of a donated input. */
  alias(x: TensorInfo, shape?: number[]): TensorInfo;
  /** How `x` is stored. */
  storageOf(x: TensorInfo): Storage;
  /**
   * Queues the native kernel `kernel` (a name of `cuda/kernels.def`). Float inputs stored as bfloat16 or float16 are widened first
   * unless the kernel reads them itself. Throws an Error with the launcher's words if it refuses.
   */
  launch(kernel: string, inputs: TensorInfo[], outputs: TensorInfo[], attrs?: number[]): void;
  /** Frees a tensor that `output` or `alias` made and that is not returned. */
  disposeIntermediateTensorInfo(x: TensorInfo): void;
}

/**
 * The tensors of the backend `specattn`: what tfjs-core asks of a backend (to store, read, count and free data), with
 * every tensor's elements in a native buffer of one device. `backend.ts` adds what kernels and models need.
 */
import * as tf from '@tensorflow/tfjs-core';
import {
  DataStorage,
  KernelBackend,
  type BackendValues,
  type DataId,
  type DataType,
  type TensorInfo,
} from '@tensorflow/tfjs-core';

import type {NativeDevice} from './addon.js';
import {BYTES, hostArray, isHalf, type NativeDType, type Storage} from './types.js';

export interface NativeData {
  dtype: DataType;
  /** Stored numbers. A complex64 element is two of them, its real and its imaginary part. */
  elements: number;
  storage: Storage;
  /** Number of the native buffer; -1 for a string tensor, which has none. */
  handle: number;
  references: number;
  /** Elements of a string tensor. */
  strings?: Uint8Array[];
}

/** `tf.memory()` on this backend. */
export interface SpecAttnMemoryInfo extends tf.MemoryInfo {
  unreliable: boolean;
  device: string;
  /** Bytes of the device that tensors hold. */
  numBytesInDevice: number;
  /** The same, and the bytes that the allocator keeps for later tensors. */
  numBytesInDeviceReserved: number;
}

export abstract class NativeTensors extends KernelBackend {
  private readonly tensors: DataStorage<NativeData>;

  constructor(readonly device: NativeDevice) {
    super();
    this.tensors = new DataStorage(this, tf.engine());
  }

  /** A copy of a float32 tensor in another storage. */
  abstract converted(x: TensorInfo, storage: Storage): TensorInfo;

  output(shape: number[], dtype: NativeDType, storage: Storage = dtype, apart = false): TensorInfo {
    const dataId = {};
    const elements = tf.util.sizeFromShape(shape);
    const handle = this.device.allocate(elements * BYTES[storage], apart ? 1 : 0);
    this.tensors.set(dataId, {dtype, elements, storage, handle, references: 1});
    return {dataId, shape, dtype};
  }

  alias(x: TensorInfo, shape: number[] = x.shape): TensorInfo {
    this.incRef(x.dataId);
    return {dataId: x.dataId, shape, dtype: x.dtype};
  }

  protected dataOf(x: TensorInfo): NativeData {
    return this.tensors.get(x.dataId);
  }

  storageOf(x: TensorInfo): Storage {
    return this.dataOf(x).storage;
  }

  /** The native buffer's number. */
  handleOf(x: TensorInfo): number {
    return this.dataOf(x).handle;
  }

  disposeIntermediateTensorInfo(x: TensorInfo): void {
    this.disposeData(x.dataId);
  }

  override write(values: BackendValues | null, shape: number[], dtype: DataType): DataId {
    const dataId = {};
    this.move(dataId, values, shape, dtype, 1);
    return dataId;
  }

  override move(
    dataId: DataId,
    values: BackendValues | null,
    shape: number[],
    dtype: DataType,
    refCount: number,
  ): void {
    if (dtype === 'string') {
      this.tensors.set(dataId, {
        dtype,
        elements: tf.util.sizeFromShape(shape),
        storage: 'bool',
        handle: -1,
        references: refCount,
        strings: (values as Uint8Array[] | null) ?? [],
      });
      return;
    }
    const storage: Storage = dtype === 'complex64' ? 'float32' : dtype;
    const elements = tf.util.sizeFromShape(shape) * (dtype === 'complex64' ? 2 : 1);
    const typed = values ? typedArray(values, storage) : undefined;
    if (typed && typed.length !== elements)
      throw new Error(`[write] [${shape}] holds ${elements} numbers but ${typed.length} came`);
    const handle = this.device.allocate(elements * BYTES[storage]);
    this.tensors.set(dataId, {dtype, elements, storage, handle, references: refCount});
    try {
      if (typed) this.device.write(handle, 0, typed);
    } catch (error) {
      this.disposeData(dataId, true);
      throw error;
    }
  }

  /** Overwrites a tensor's elements in place. The host sets the state of a captured step so. */
  assign(x: TensorInfo, values: BackendValues): void {
    const {storage, handle, elements} = this.dataOf(x);
    const typed = typedArray(values, storage);
    if (typed.length !== elements)
      throw new Error(`[assign] [${x.shape}] holds ${elements} numbers but ${typed.length} came`);
    this.device.write(handle, 0, typed);
  }

  override readSync(dataId: DataId): BackendValues {
    const data = this.tensors.get(dataId);
    if (data.strings) return data.strings;
    if (isHalf(data.storage)) {
      const wide = this.converted({dataId, shape: [data.elements], dtype: data.dtype}, 'float32');
      try {
        return this.readSync(wide.dataId);
      } finally {
        this.disposeIntermediateTensorInfo(wide);
      }
    }
    const values = hostArray(data.storage, data.elements);
    this.device.read(data.handle, 0, values);
    return values;
  }

  override async read(dataId: DataId): Promise<BackendValues> {
    return this.readSync(dataId);
  }

  override disposeData(dataId: DataId, force = false): boolean {
    if (!this.tensors.has(dataId)) return true;
    const data = this.tensors.get(dataId);
    data.references--;
    if (!force && data.references > 0) return false;
    if (!data.strings) this.device.free(data.handle);
    this.tensors.delete(dataId);
    return true;
  }

  override refCount(dataId: DataId): number {
    return this.tensors.has(dataId) ? this.tensors.get(dataId).references : 0;
  }

  override incRef(dataId: DataId): void {
    this.tensors.get(dataId).references++;
  }

  override numDataIds(): number {
    return this.tensors.numDataIds();
  }

  override memory(): Pick<
    SpecAttnMemoryInfo,
    'unreliable' | 'device' | 'numBytesInDevice' | 'numBytesInDeviceReserved'
  > {
    const {bytesInUse, bytesReserved} = this.device.memory();
    return {
      unreliable: false,
      device: this.device.name,
      numBytesInDevice: bytesInUse,
      numBytesInDeviceReserved: bytesReserved,
    };
  }

  /** Waits for everything queued. */
  synchronize(): void {
    this.device.synchronize();
  }

  override async time(f: () => void): Promise<tf.BackendTimingInfo> {
    this.synchronize();
    const start = performance.now();
    f();
    this.synchronize();
    return {kernelMs: performance.now() - start};
  }

  override timerAvailable(): boolean {
    return true;
  }

  override floatPrecision(): 16 | 32 {
    return 32;
  }

  override dispose(): void {
    this.device.trim();
  }
}

/** `values` as an array whose bytes are those of the native buffer. */
function typedArray(values: BackendValues, storage: Storage): Float32Array | Int32Array | Uint8Array {
  if (storage === 'int32')
    return values instanceof Int32Array ? values : Int32Array.from(values as ArrayLike<number>);
  if (storage === 'bool')
    return values instanceof Uint8Array ? values : Uint8Array.from(values as ArrayLike<number>);
  return values instanceof Float32Array ? values : Float32Array.from(values as ArrayLike<number>);
}

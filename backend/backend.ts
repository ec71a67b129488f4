/** The TF.js backend `specattn`: tensors in native buffers of one device, kernels in `cuda/`. */
import * as tf from '@tensorflow/tfjs-core';
import {
  DataStorage,
  KernelBackend,
  type BackendValues,
  type DataId,
  type DataType,
  type TensorInfo,
} from '@tensorflow/tfjs-core';

import type {Addon, NativeDevice} from './addon.js';
import {Capture, type CaptureStep} from './capture.js';
import {
  BYTES,
  hostArray,
  isHalf,
  type FilePart,
  type NativeBackend,
  type NativeDType,
  type Storage,
} from './types.js';

/** In the order of DType in `cuda/core/tensor.h`. */
const STORAGES: readonly Storage[] = ['float32', 'bfloat16', 'float16', 'int32', 'bool'];
const STORAGE_NUMBER = Object.fromEntries(STORAGES.map((name, i) => [name, i])) as Record<Storage, number>;

interface NativeData {
  dtype: DataType;
  /** Of the stored numbers: twice the tensor's size for complex64 (real and imaginary parts in turn). */
  elements: number;
  storage: Storage;
  handle: number;
  references: number;
  /** What a string tensor holds instead of a buffer. */
  strings?: Uint8Array[];
}

/** `tf.memory()` on this backend. */
export interface SpecAttnMemoryInfo extends tf.MemoryInfo {
  unreliable: boolean;
  device: string;
  /** Bytes of the device that tensors hold. */
  numBytesInDevice: number;
  /** The same with what the allocator keeps for later tensors. */
  numBytesInDeviceReserved: number;
}

export class SpecAttnBackend extends KernelBackend implements NativeBackend {
  /** Tells this backend from others without an import. */
  readonly isSpecAttn = true;
  private readonly tensors: DataStorage<NativeData>;
  private readonly kernels: Map<string, {number: number; half: number}>;

  constructor(
    addon: Addon,
    readonly device: NativeDevice,
  ) {
    super();
    this.tensors = new DataStorage(this, tf.engine());
    this.kernels = new Map(addon.kernels.map(({name, half}, number) => [name, {number, half}]));
  }

  // What kernels use.

  output(shape: number[], dtype: NativeDType, storage: Storage = dtype): TensorInfo {
    const dataId = {};
    const elements = tf.util.sizeFromShape(shape);
    const handle = this.device.allocate(elements * BYTES[storage]);
    this.tensors.set(dataId, {dtype, elements, storage, handle, references: 1});
    return {dataId, shape, dtype};
  }

  alias(x: TensorInfo, shape: number[] = x.shape): TensorInfo {
    this.incRef(x.dataId);
    return {dataId: x.dataId, shape, dtype: x.dtype};
  }

  storageOf(x: TensorInfo): Storage {
    return this.tensors.get(x.dataId).storage;
  }

  /** The native buffer's number. */
  handleOf(x: TensorInfo): number {
    return this.tensors.get(x.dataId).handle;
  }

  launch(kernel: string, inputs: TensorInfo[], outputs: TensorInfo[], attrs: readonly number[] = []): void {
    const entry = this.kernels.get(kernel);
    if (!entry) throw new Error(`[${kernel}] is not a kernel of the native addon`);
    const copies: TensorInfo[] = [];
    try {
      const read = inputs.map((x, i) => {
        if ((entry.half >> i) & 1 || !isHalf(this.storageOf(x))) return x;
        copies.push(this.restored(x, 'float32'));
        return copies[copies.length - 1];
      });
      this.queue(entry.number, read, outputs, attrs);
    } finally {
      copies.forEach((x) => this.disposeIntermediateTensorInfo(x));
    }
  }

  /** A copy of a float32 tensor in another storage. */
  restored(x: TensorInfo, storage: Storage): TensorInfo {
    return this.made(x.shape, storage, 'Copy', [x], []);
  }

  /** A new float32 tensor, stored as `storage`, that one launch writes; nothing is left of it if that is refused. */
  private made(
    shape: number[],
    storage: Storage,
    kernel: string,
    inputs: TensorInfo[],
    attrs: number[],
  ): TensorInfo {
    const made = this.output(shape, 'float32', storage);
    try {
      this.launch(kernel, inputs, [made], attrs);
    } catch (error) {
      this.disposeIntermediateTensorInfo(made);
      throw error;
    }
    return made;
  }

  private queue(kernel: number, inputs: TensorInfo[], outputs: TensorInfo[], attrs: readonly number[]): void {
    const {descriptor} = this.device;
    let at = 0;
    descriptor[at++] = kernel;
    descriptor[at++] = inputs.length;
    descriptor[at++] = outputs.length;
    descriptor[at++] = attrs.length;
    for (const list of [inputs, outputs]) {
      for (const {dataId, shape} of list) {
        const data = this.tensors.get(dataId);
        if (data.strings || data.dtype === 'complex64')
          throw new Error(`[launch] native kernels take no ${data.dtype} tensors`);
        descriptor[at++] = data.handle;
        descriptor[at++] = STORAGE_NUMBER[data.storage];
        descriptor[at++] = shape.length;
        for (const dimension of shape) descriptor[at++] = dimension;
      }
    }
    for (const attr of attrs) descriptor[at++] = attr;
    // Writes past a typed array's end are dropped in silence.
    if (at > descriptor.length)
      throw new Error(`[launch] a descriptor takes ${at} numbers of ${descriptor.length} at most`);
    this.device.launch();
  }

  disposeIntermediateTensorInfo(x: TensorInfo): void {
    this.disposeData(x.dataId);
  }

  // What models and the loop use.

  /**
   * A float32 tensor from raw little-endian bytes, stored as `storage`.
   * @param parts one after the other they hold the tensor row by row; a part need only be valid until the next is asked for, so that a
   *     file can be read through one small buffer; a part in a file is read by native code, straight to the device
   * @param from how the bytes are to be read
   */
  upload(
    parts: Iterable<ArrayBufferView | FilePart>,
    from: Storage,
    shape: number[],
    storage: Storage = from,
  ): TensorInfo {
    const expected = tf.util.sizeFromShape(shape) * BYTES[from];
    const raw = this.output(shape, 'float32', from);
    try {
      const {handle} = this.tensors.get(raw.dataId);
      let bytes = 0;
      for (const part of parts) {
        if (bytes + part.byteLength <= expected) this.writePart(handle, bytes, part);
        bytes += part.byteLength;
      }
      if (bytes !== expected)
        throw new Error(`[upload] [${shape}] of ${from} takes ${expected} bytes but ${bytes} came`);
    } catch (error) {
      this.disposeIntermediateTensorInfo(raw);
      throw error;
    }
    if (from === storage) return raw;
    try {
      return this.restored(raw, storage);
    } finally {
      this.disposeIntermediateTensorInfo(raw);
    }
  }

  private writePart(handle: number, at: number, part: ArrayBufferView | FilePart): void {
    if (!('fd' in part)) {
      this.device.write(handle, at, part);
      return;
    }
    const {file, fd, position, byteLength} = part;
    try {
      this.device.writeFromFile(handle, at, fd, position, byteLength);
    } catch (error) {
      throw new Error(`${file}: ${(error as Error).message}`, {cause: error});
    }
  }

  /** A float32 tensor of zeros, stored as `storage`. */
  zeros(shape: number[], storage: Storage): TensorInfo {
    return this.made(shape, storage, 'Fill', [], [0]);
  }

  /** A float32 tensor of uniform numbers in [-scale, scale), stored as `storage`. */
  random(shape: number[], storage: Storage, seed: number, scale: number): TensorInfo {
    return this.made(shape, storage, 'Random', [], [seed, scale]);
  }

  /** Overwrites a tensor's elements, in place: how the host sets the state of a recorded step. */
  assign(x: TensorInfo, values: BackendValues): void {
    const {storage, handle, elements} = this.tensors.get(x.dataId);
    const typed = typedArray(values, storage);
    if (typed.length !== elements)
      throw new Error(`[assign] [${x.shape}] holds ${elements} numbers but ${typed.length} came`);
    this.device.write(handle, 0, typed);
  }

  /**
   * Records the launches of one call of `step` (of two, where memory was short) over `state`'s buffers; see {@link Capture}.
   * @param pool a number of `device.newCapturePool()`: captures of one pool share the memory of what they compute on the way
   */
  capture(state: tf.Tensor[], step: CaptureStep, pool?: number): Capture {
    try {
      return new Capture(this, state, step, pool);
    } catch (error) {
      if (!(error as Error).message.startsWith('[allocate] ')) throw error;
      // A GPU takes no memory back while launches are recorded: what it keeps for later goes back now, and all begins anew.
      this.device.trim();
      return new Capture(this, state, step, pool);
    }
  }

  /** Waits for everything queued. */
  synchronize(): void {
    this.device.synchronize();
  }

  // KernelBackend.

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

  override readSync(dataId: DataId): BackendValues {
    const data = this.tensors.get(dataId);
    if (data.strings) return data.strings;
    if (isHalf(data.storage)) {
      const wide = this.restored({dataId, shape: [data.elements], dtype: data.dtype}, 'float32');
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

/** `values` as the array whose bytes go to the device. */
function typedArray(values: BackendValues, storage: Storage): Float32Array | Int32Array | Uint8Array {
  if (storage === 'int32')
    return values instanceof Int32Array ? values : Int32Array.from(values as ArrayLike<number>);
  if (storage === 'bool')
    return values instanceof Uint8Array ? values : Uint8Array.from(values as ArrayLike<number>);
  return values instanceof Float32Array ? values : Float32Array.from(values as ArrayLike<number>);
}

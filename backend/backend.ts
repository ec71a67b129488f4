/** The TF.js backend `specattn`: tensors in native buffers of one device, kernels of the native addon (`cuda/`). */
import * as tf from '@tensorflow/tfjs-core';
import type {TensorInfo} from '@tensorflow/tfjs-core';

import type {Addon, NativeDevice} from './addon.js';
import {Capture, type CaptureStep} from './capture.js';
import {writeDescriptor} from './descriptor.js';
import {NativeTensors, type NativeData} from './tensors.js';
import {BYTES, isHalf, type FilePart, type NativeBackend, type Storage} from './types.js';
import {writeParts} from './upload.js';

export class SpecAttnBackend extends NativeTensors implements NativeBackend {
  /** Tells this backend from others without an import of this file. */
  readonly isSpecAttn = true;
  private readonly kernels: Map<string, {number: number; half: number}>;

  constructor(addon: Addon, device: NativeDevice) {
    super(device);
    this.kernels = new Map(addon.kernels.map(({name, half}, number) => [name, {number, half}]));
  }

  // What kernels use.

  launch(kernel: string, inputs: TensorInfo[], outputs: TensorInfo[], attrs: readonly number[] = []): void {
    const entry = this.kernels.get(kernel);
    if (!entry) throw new Error(`[${kernel}] is not a kernel of the native addon`);
    const copies: TensorInfo[] = [];
    try {
      const read = inputs.map((x, i) => {
        if ((entry.half >> i) & 1 || !isHalf(this.storageOf(x))) return x;
        copies.push(this.converted(x, 'float32'));
        return copies[copies.length - 1];
      });
      writeDescriptor(this.device.descriptor, entry.number, read, outputs, attrs, this.launchedData);
      this.device.launch();
    } finally {
      copies.forEach((x) => this.disposeIntermediateTensorInfo(x));
    }
  }

  private readonly launchedData = (x: TensorInfo): NativeData => {
    const data = this.dataOf(x);
    if (data.strings || data.dtype === 'complex64')
      throw new Error(`[launch] native kernels take no ${data.dtype} tensors`);
    return data;
  };

  override converted(x: TensorInfo, storage: Storage): TensorInfo {
    return this.made(x.shape, storage, 'Copy', [x], []);
  }

  /**
   * A new float32 tensor, stored as `storage`, that one launch writes. The tensor is freed if the launch is refused.
   */
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

  // What models and the decoding loop use.

  /**
   * A float32 tensor from raw little-endian bytes.
   * @param parts the tensor's bytes, row by row, in one or more parts; `writeParts` says how long a part must
   *     stay valid
   * @param from the type of the bytes
   * @param storage how the tensor is stored
   * @throws Error where the parts have more or fewer bytes than the tensor, or a file cannot be read
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
      const bytes = writeParts(this.device, this.handleOf(raw), parts, expected);
      if (bytes !== expected)
        throw new Error(`[upload] [${shape}] of ${from} takes ${expected} bytes but ${bytes} came`);
    } catch (error) {
      this.disposeIntermediateTensorInfo(raw);
      throw error;
    }
    if (from === storage) return raw;
    try {
      return this.converted(raw, storage);
    } finally {
      this.disposeIntermediateTensorInfo(raw);
    }
  }

  /** A float32 tensor of zeros, stored as `storage`. */
  zeros(shape: number[], storage: Storage): TensorInfo {
    return this.made(shape, storage, 'Fill', [], [0]);
  }

  /** A float32 tensor of uniform random numbers in [-scale, scale), stored as `storage`. */
  random(shape: number[], storage: Storage, seed: number, scale: number): TensorInfo {
    return this.made(shape, storage, 'Random', [], [seed, scale]);
  }

  /**
   * Records the launches of `step(state)` over the buffers of `state`; see {@link Capture}. Where memory runs short,
   * `step` is called a second time.
   * @param pool a number of `device.newCapturePool()`: captures of one pool share the memory of intermediate results
   */
  capture(state: tf.Tensor[], step: CaptureStep, pool?: number): Capture {
    try {
      return new Capture(this, state, step, pool);
    } catch (error) {
      if (!(error as Error).message.startsWith('[allocate] ')) throw error;
      // CUDA frees no memory during a capture. So the allocator's cache is freed now, and the capture begins anew.
      this.device.trim();
      return new Capture(this, state, step, pool);
    }
  }
}

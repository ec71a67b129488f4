/**
 * Makes tensors of weights and caches. The native backend can store float32 tensors as bfloat16 or float16; every
 * other backend gets them widened to float32.
 */
import * as tf from '@tensorflow/tfjs-core';

import {nativeBackend} from '../../backend/current.js';
import {BYTES, type FilePart, type Storage} from '../../backend/types.js';

/** How a float32 tensor's numbers are stored. */
export type FloatStorage = Extract<Storage, 'float32' | 'bfloat16' | 'float16'>;

/** How a file stores numbers. Float64 is rounded to float32 when it is read. */
export type FileStorage = FloatStorage | 'float64';

/** Storage for each dtype that weights may have in a safetensors file. */
export const STORAGE_OF_DTYPE: Record<string, FileStorage> = {
  F32: 'float32',
  F64: 'float64',
  F16: 'float16',
  BF16: 'bfloat16',
};

/** The numbers of one tensor of a file. */
export interface RawTensor {
  storage: FileStorage;
  /** Number of elements. */
  size: number;
  /** The bytes in chunks of whole elements. A chunk is valid until the next one is asked for. */
  chunks(): Iterable<Uint8Array>;
  /** Where the bytes are, if native code can read them from an open file. */
  place?(): FilePart;
}

/** How a tensor that keeps its file's type is stored. */
export function storageOf({storage}: RawTensor): FloatStorage {
  return storage === 'float64' ? 'float32' : storage;
}

/** How the current backend stores a tensor that is asked for as `storage`. */
export function supportedStorage(storage: FloatStorage): FloatStorage {
  return nativeBackend() ? storage : 'float32';
}

/** Bytes that `size` numbers take on the current backend. */
export function storedBytes(size: number, storage: FloatStorage): number {
  return size * BYTES[supportedStorage(storage)];
}

/** A kept float32 tensor that holds `parts` one after the other, stored as `storage` if the backend can. */
export function makeWeight(parts: RawTensor[], shape: number[], storage: FloatStorage): tf.Tensor {
  const backend = nativeBackend();
  const from = parts[0].storage;
  if (backend && from !== 'float64' && parts.every((part) => part.storage === from)) {
    return tf.keep(
      tf.engine().makeTensorFromTensorInfo(backend.upload(allBytes(parts), from, shape, storage)),
    );
  }
  const values = concatenate(parts);
  if (!backend) return tf.keep(tf.tensor(values, shape, 'float32'));
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  return tf.keep(tf.engine().makeTensorFromTensorInfo(backend.upload([bytes], 'float32', shape, storage)));
}

/** An empty cache: zeros, stored as `storage` if the backend can. */
export function makeZeros(shape: [number, number, number], storage: FloatStorage): tf.Tensor3D {
  const backend = nativeBackend();
  if (!backend) return tf.zeros(shape);
  return tf.engine().makeTensorFromTensorInfo(backend.zeros(shape, storage)) as tf.Tensor3D;
}

/**
 * A kept tensor of uniform numbers in [-scale, scale), stored as `storage` if the backend can. The native backend
 * makes them on its device.
 */
export function makeRandom(shape: number[], storage: FloatStorage, seed: number, scale: number): tf.Tensor {
  const backend = nativeBackend();
  if (!backend) return tf.keep(tf.randomUniform(shape, -scale, scale, 'float32', seed));
  return tf.keep(tf.engine().makeTensorFromTensorInfo(backend.random(shape, storage, seed, scale)));
}

function* allBytes(parts: RawTensor[]): Generator<Uint8Array | FilePart> {
  for (const part of parts) {
    if (part.place) yield part.place();
    else yield* part.chunks();
  }
}

/** The numbers of all parts, one part after the other, as float32. */
export function concatenate(parts: RawTensor[]): Float32Array {
  const all = new Float32Array(parts.reduce((sum, {size}) => sum + size, 0));
  let at = 0;
  for (const part of parts) {
    for (const chunk of part.chunks()) {
      const values = widen(chunk, part.storage);
      all.set(values, at);
      at += values.length;
    }
  }
  return all;
}

/**
 * A file's numbers as float32, which holds every bfloat16 and float16 exactly; a float64 is rounded. Aligned float32 bytes
 * are not copied.
 */
export function widen(bytes: Uint8Array, storage: FileStorage): Float32Array {
  // Typed arrays need an aligned offset.
  const aligned = bytes.byteOffset % 8 === 0 ? bytes : bytes.slice();
  if (storage === 'float64')
    return Float32Array.from(new Float64Array(aligned.buffer, aligned.byteOffset, bytes.length / 8));
  if (storage === 'float32') return new Float32Array(aligned.buffer, aligned.byteOffset, bytes.length / 4);
  const halves = new Uint16Array(aligned.buffer, aligned.byteOffset, bytes.length / 2);
  const bits = new Uint32Array(halves.length);
  if (storage === 'bfloat16') {
    for (let i = 0; i < halves.length; i++) bits[i] = halves[i] << 16;
  } else {
    for (let i = 0; i < halves.length; i++) bits[i] = float16Bits(halves[i]);
  }
  return new Float32Array(bits.buffer);
}

/** The bits of the float32 that equals a float16: the same sign and mantissa, the exponent with float32's bias. */
function float16Bits(half: number): number {
  const sign = (half & 0x8000) << 16;
  let exponent = (half >> 10) & 0x1f;
  let mantissa = half & 0x3ff;
  if (exponent === 0x1f) return sign | 0x7f800000 | (mantissa << 13); // infinity and NaN
  if (exponent === 0) {
    if (mantissa === 0) return sign;
    // A subnormal float16 is a normal float32, whose leading 1 is not stored: shift it out.
    exponent = 1;
    while (!(mantissa & 0x400)) {
      mantissa <<= 1;
      exponent--;
    }
    mantissa &= 0x3ff;
  }
  return sign | ((exponent + 112) << 23) | (mantissa << 13); // 112: the difference of the biases, 127 and 15
}

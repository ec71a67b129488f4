/** Tensors from a file's bytes: as they are where the backend stores halves, widened elsewhere. */
import * as tf from '@tensorflow/tfjs-core';

import {nativeBackend} from '../../backend/current.js';
import {BYTES, type FilePart, type Storage} from '../../backend/types.js';

/** How weights are stored. */
export type FloatStorage = Extract<Storage, 'float32' | 'bfloat16' | 'float16'>;

/** Of the file dtypes that weights may have. */
export const STORAGE_OF_DTYPE: Record<string, FloatStorage> = {
  F32: 'float32',
  F16: 'float16',
  BF16: 'bfloat16',
};

/** Numbers as they lie in a file. */
export interface RawTensor {
  storage: FloatStorage;
  /** How many. */
  size: number;
  /** Their bytes, whole numbers at a time; a chunk is valid until the next is asked for. */
  chunks(): Iterable<Uint8Array>;
  /** Where they lie, if it is a file that native code can read. */
  place?(): FilePart;
}

/** How the current backend stores weights that are asked for as `storage`. */
export function supportedStorage(storage: FloatStorage): FloatStorage {
  return nativeBackend() ? storage : 'float32';
}

/** Bytes that `size` stored numbers take. */
export function storedBytes(size: number, storage: FloatStorage): number {
  return size * BYTES[supportedStorage(storage)];
}

/** A kept float32 tensor of `parts`, one after the other, stored as `storage` where the backend can. */
export function makeWeight(parts: RawTensor[], shape: number[], storage: FloatStorage): tf.Tensor {
  const backend = nativeBackend();
  const from = parts[0].storage;
  if (backend && parts.every((part) => part.storage === from)) {
    return tf.keep(
      tf.engine().makeTensorFromTensorInfo(backend.upload(allBytes(parts), from, shape, storage)),
    );
  }
  const values = concatenate(parts);
  if (!backend) return tf.keep(tf.tensor(values, shape, 'float32'));
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  return tf.keep(tf.engine().makeTensorFromTensorInfo(backend.upload([bytes], 'float32', shape, storage)));
}

/** Zeros, stored as `storage` where the backend can: an empty cache. */
export function makeZeros(shape: [number, number, number], storage: FloatStorage): tf.Tensor3D {
  const backend = nativeBackend();
  if (!backend) return tf.zeros(shape);
  return tf.engine().makeTensorFromTensorInfo(backend.zeros(shape, storage)) as tf.Tensor3D;
}

/** Kept uniform numbers in [-scale, scale), stored as `storage` where the backend can; made on its device where it is native. */
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

/** All parts' numbers as float32. */
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

/** A file's numbers as float32 (a view, where they are that already). Exact: float32 holds every bfloat16 and float16. */
export function widen(bytes: Uint8Array, storage: FloatStorage): Float32Array {
  // A typed array over the bytes needs them aligned.
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice();
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

/** The float32 bits of a float16: the sign, the exponent with another bias, the mantissa. */
function float16Bits(half: number): number {
  const sign = (half & 0x8000) << 16;
  let exponent = (half >> 10) & 0x1f;
  let mantissa = half & 0x3ff;
  if (exponent === 0x1f) return sign | 0x7f800000 | (mantissa << 13); // infinity and NaN
  if (exponent === 0) {
    if (mantissa === 0) return sign;
    // A subnormal float16 is a normal float32: shift its leading 1 out.
    exponent = 1;
    while (!(mantissa & 0x400)) {
      mantissa <<= 1;
      exponent--;
    }
    mantissa &= 0x3ff;
  }
  return sign | ((exponent + 112) << 23) | (mantissa << 13);
}

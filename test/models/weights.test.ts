import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';

import {makeWeight, makeZeros, widen, type FileStorage, type RawTensor} from '../../models/llama/weights.js';
import {forEachBackend} from '../backends.js';
import {expectSame} from '../compare.js';

/** The value of a float16, computed from its definition. */
function float16(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const [exponent, mantissa] = [(half >> 10) & 0x1f, half & 0x3ff];
  if (exponent === 0x1f) return mantissa ? NaN : sign * Infinity;
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + mantissa / 1024) : 2 ** -14 * (mantissa / 1024));
}

const every = Uint16Array.from({length: 65536}, (_, i) => i);
const bytesOf = (values: Uint16Array | Float32Array | Float64Array) => new Uint8Array(values.buffer);
/** Gives its bytes through one buffer, as a file's reader does, a number at a time. */
const raw = (values: Uint16Array | Float32Array | Float64Array, storage: FileStorage): RawTensor => ({
  storage,
  size: values.length,
  *chunks() {
    const buffer = new Uint8Array(values.BYTES_PER_ELEMENT);
    for (let at = 0; at < values.byteLength; at += buffer.length) {
      buffer.set(bytesOf(values).subarray(at, at + buffer.length));
      yield buffer;
    }
  },
});

describe('widen', () => {
  it('is exact for every float16', () => {
    expectSame(widen(bytesOf(every), 'float16'), Float32Array.from(every, float16));
  });

  it('is exact for every bfloat16', () => {
    const bits = new Uint32Array(Array.from(every, (x) => x * 65536));
    expectSame(widen(bytesOf(every), 'bfloat16'), new Float32Array(bits.buffer));
  });

  it('rounds every float64 to the nearest float32', () => {
    const values = Float64Array.of(0, -0, 1 / 3, -1e300, 1e-46, Math.PI, NaN, 16777217, -Infinity);
    const bytes = new Uint8Array(values.buffer);
    expectSame(widen(bytes, 'float64'), Array.from(values, Math.fround));
    const shifted = new Uint8Array(bytes.length + 4);
    shifted.set(bytes, 4);
    expectSame(widen(shifted.subarray(4), 'float64'), Array.from(values, Math.fround));
  });

  it('takes bytes that are not aligned', () => {
    const bytes = new Uint8Array(9);
    bytes.set(new Uint8Array(Float32Array.of(1.5, -2).buffer), 1);
    expectSame(widen(bytes.subarray(1), 'float32'), [1.5, -2]);
  });
});

forEachBackend('makeWeight', () => {
  const half = raw(Uint16Array.of(0x3c00, 0xc000), 'float16'); // 1, -2
  const brain = raw(Uint16Array.of(0x3f80, 0xc000), 'bfloat16'); // 1, -2
  const single = raw(Float32Array.of(0.25, 3), 'float32');
  const double = raw(Float64Array.of(-0.5, 4), 'float64');
  for (const [what, parts, values] of [
    ['parts of one kind', [half, half], [1, -2, 1, -2]],
    ['parts of different kinds', [half, brain, single, double], [1, -2, 1, -2, 0.25, 3, -0.5, 4]],
    ['parts of float64', [double, double], [-0.5, 4, -0.5, 4]],
  ] as const) {
    for (const storage of ['float32', 'bfloat16', 'float16'] as const) {
      it(`joins ${what} row by row, as ${storage}`, () => {
        const weight = makeWeight([...parts], [values.length / 2, 2], storage);
        expect(weight.dtype).to.equal('float32');
        expectSame(weight.dataSync(), values);
        weight.dispose();
      });
    }
  }

  it('is kept by tidy', () => {
    let weight!: tf.Tensor;
    tf.tidy(() => {
      weight = makeWeight([half], [2], 'float16');
    });
    expect(weight.isDisposed).to.equal(false);
    weight.dispose();
  });
});

forEachBackend('makeZeros', () => {
  it('is a tensor of zeros', () => {
    const zeros = makeZeros([2, 3, 4], 'bfloat16');
    expect(zeros.shape).to.deep.equal([2, 3, 4]);
    expectSame(zeros.dataSync(), new Float32Array(24));
  });
});

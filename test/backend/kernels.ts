/** Helpers for tests of the standard kernels, in which a program must give the same tensors on tfjs-backend-cpu and on specattn. */
import * as tf from '@tensorflow/tfjs-core';
import {AssertionError, expect} from 'chai';

import {BACKEND} from '../../backend/index.js';

/** `describe` for the native backend, skipped if the addon is missing. */
export const describeNative: Mocha.SuiteFunction | Mocha.PendingSuiteFunction =
  tf.findBackendFactory(BACKEND) === undefined ? describe.skip : describe;

export type DType = 'float32' | 'int32' | 'bool';
export const DTYPES: DType[] = ['float32', 'int32', 'bool'];

/** A generator of numbers in [0, 1) that depend only on `seed`. */
export function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** Reproducible values: floats or integers in ±spread, or bools. */
export function values(shape: number[], dtype: DType, {seed = 1, spread = 8} = {}): number[] {
  const next = random(seed + 7919 * shape.length);
  return Array.from({length: tf.util.sizeFromShape(shape)}, () => {
    const u = 2 * next() - 1;
    if (dtype === 'float32') return Math.fround(u * spread);
    return dtype === 'int32' ? Math.round(u * spread) : u > 0 ? 1 : 0;
  });
}

export function tensor(
  shape: number[],
  dtype: DType = 'float32',
  options: {seed?: number; spread?: number} = {},
): tf.Tensor {
  return tf.tensor(values(shape, dtype, options), shape, dtype);
}

/** Runs a kernel by its name, as ops and GraphModels do. */
export function kernel(name: string, inputs: object, attrs: object = {}): tf.Tensor {
  return tf.engine().runKernel(name, inputs as tf.NamedTensorMap, attrs as never);
}

export interface Result {
  shape: number[];
  dtype: string;
  data: ArrayLike<number | string>;
}

async function run(backend: string, program: () => tf.Tensor | tf.Tensor[]): Promise<Result[]> {
  await tf.setBackend(backend);
  const before = [tf.memory().numTensors, tf.engine().backend.numDataIds()];
  const outputs = tf.tidy(
    () =>
      [program()]
        .flat()
        .map((x) => ({shape: x.shape, dtype: x.dtype, data: x.dataSync<'string'>()})) as never,
  ) as Result[];
  const after = [tf.memory().numTensors, tf.engine().backend.numDataIds()];
  expect(after, `[${backend}] tensors and buffers left`).to.deep.equal(before);
  return outputs;
}

/** The results of `program` on a backend, or undefined if it throws. Specattn must leave no tensors or buffers in either case. */
export async function outcome(
  backend: string,
  program: () => tf.Tensor | tf.Tensor[],
): Promise<Result[] | undefined> {
  await tf.setBackend(backend);
  const before = [tf.memory().numTensors, tf.engine().backend.numDataIds()];
  try {
    // For empty tensors tfjs-backend-cpu may return arrays of another type or of a greater length.
    return (await run(backend, program)).map(({shape, dtype, data}) => ({
      ...{shape, dtype},
      data: Array.from(data).slice(0, tf.util.sizeFromShape(shape)),
    }));
  } catch (error) {
    if (error instanceof AssertionError) throw error;
    const after = [tf.memory().numTensors, tf.engine().backend.numDataIds()];
    if (backend === BACKEND)
      expect(after, `tensors and buffers left by: ${(error as Error).message}`).to.deep.equal(before);
    return undefined;
  }
}

export interface Tolerance {
  /** relative to |expected| */
  relative?: number;
  absolute?: number;
}

/** Expects `program` to give the same shapes, dtypes and values on specattn and on cpu, and to leave no tensors or buffers. */
export async function expectSame(
  program: () => tf.Tensor | tf.Tensor[],
  {relative = 2e-6, absolute = 1e-6}: Tolerance = {},
): Promise<void> {
  const expected = await run('cpu', program);
  const actual = await run(BACKEND, program);
  expect(actual.length).to.equal(expected.length);
  actual.forEach((y, i) => {
    const want = expected[i];
    expect(y.shape).to.deep.equal(want.shape);
    expect(y.dtype).to.equal(want.dtype);
    expect(y.data.length).to.equal(want.data.length);
    for (let j = 0; j < y.data.length; j++) {
      const [a, b] = [y.data[j], want.data[j]];
      if (a === b || (a !== a && b !== b)) continue;
      const bound = y.dtype === 'float32' ? absolute + relative * Math.abs(b as number) : 0;
      if (!(Math.abs((a as number) - (b as number)) <= bound))
        expect.fail(`element ${j} of output ${i} must be ${b} but is ${a}`);
    }
  });
}

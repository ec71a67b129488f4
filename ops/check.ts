/** What the ops validate their arguments with. Cheap where all is well: it runs at every call. */
import type {DataType, TensorInfo} from '@tensorflow/tfjs-core';

import {real, refuse, show, type Check} from '../backend/check.js';

/** A dimension of any size. */
export const ANY = -1;

/** `[RMSNorm] weight must have shape [320] but has [319]`; ANY reads `?`. */
export function checkTensor(
  op: string,
  name: string,
  x: TensorInfo,
  dtype: DataType,
  shape: readonly number[],
): void {
  if (x?.shape === undefined) throw new Error(`[${op}] ${name} must be a tensor but is ${kindOf(x)}`);
  if (x.dtype !== dtype) throw new Error(`[${op}] ${name} must be ${dtype} but is ${x.dtype}`);
  let fits = x.shape.length === shape.length;
  for (let i = 0; fits && i < shape.length; i++) fits = shape[i] === ANY || shape[i] === x.shape[i];
  if (!fits) {
    const expected = shape.map((size) => (size === ANY ? '?' : size)).join();
    throw new Error(`[${op}] ${name} must have shape [${expected}] but has [${x.shape.join()}]`);
  }
}

const POSITION_SHAPE = [1];
const SEED_SHAPE = [2];

/** `position`: int32 [1], the position of row 0. */
export function checkPosition(op: string, position: TensorInfo): void {
  checkTensor(op, 'position', position, 'int32', POSITION_SHAPE);
}

/** `seed`: int32 [2]. */
export function checkSeed(op: string, seed: TensorInfo): void {
  checkTensor(op, 'seed', seed, 'int32', SEED_SHAPE);
}

/** Query heads share key/value heads evenly: q [T,H,D], k and v [G,C,D], H a multiple of G. */
export function checkAttention(op: string, q: TensorInfo, k: TensorInfo, v: TensorInfo): void {
  checkTensor(op, 'q', q, 'float32', [ANY, ANY, ANY]);
  const [, heads, headSize] = q.shape;
  checkTensor(op, 'k', k, 'float32', [ANY, ANY, headSize]);
  const [kvHeads, capacity] = k.shape;
  checkTensor(op, 'v', v, 'float32', [kvHeads, capacity, headSize]);
  if (kvHeads === 0 || heads % kvHeads !== 0)
    throw new Error(`[${op}] q must have a multiple of k's ${kvHeads} heads but has ${heads}`);
}

export const FINITE: Check = real(() => true, 'a finite number');

/** Added to a mean square before its root is taken. */
export const EPSILON: Check = real((value) => value >= 0, '0 or more');

/** A mass of probability or attention. */
export const MASS: Check = real((value) => value > 0 && value <= 1, 'in (0, 1]');

export const COUNT: Check = real((value) => value >= 0 && Number.isInteger(value), 'an integer of 0 or more');

/** One of the names of an enumerated attribute. */
export const oneOfNames = (names: readonly string[]): Check => [
  (value) => names.includes(value as string),
  `one of ${names.join(', ')}`,
];

/** `sets`: one key set for all heads, or one for each of the G KV heads. */
export function checkSets(op: string, sets: number, kvHeads: number): void {
  if (sets !== 1 && sets !== kvHeads) refuse(op, 'sets', `1 or ${kvHeads}`, sets);
}

/** What came instead of a tensor: an object's class, or the value. */
function kindOf(value: unknown): string {
  return typeof value === 'object' && value !== null ? value.constructor.name : show(value);
}

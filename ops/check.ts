/**
 * The ops' checks of their tensors and attributes. They run at every call of an op, so they allocate little where all
 * is well.
 */
import type {DataType, TensorInfo} from '@tensorflow/tfjs-core';

import {real, refuse, show, type Check} from '../backend/check.js';

/** In an expected shape: a dimension of any size. */
export const ANY = -1;

/**
 * Checks a tensor's dtype and shape.
 * @throws Error such as `[RMSNorm] weight must have shape [320] but has [319]`, where `?` stands for {@link ANY}
 */
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

/** Checks `position`, int32 [1]: the position of row 0 in the sequence. */
export function checkPosition(op: string, position: TensorInfo): void {
  checkTensor(op, 'position', position, 'int32', POSITION_SHAPE);
}

/** Checks `seed`, int32 [2]. */
export function checkSeed(op: string, seed: TensorInfo): void {
  checkTensor(op, 'seed', seed, 'int32', SEED_SHAPE);
}

/** Checks the tensors of an attention: q [T,H,D], k and v [G,C,D], H a multiple of G. */
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

/** The epsilon of an RMSNorm, which is added to the mean square. */
export const EPSILON: Check = real((value) => value >= 0, '0 or more');

/** A share of a sum of probabilities or attention weights. */
export const MASS: Check = real((value) => value > 0 && value <= 1, 'in (0, 1]');

/** How many keys or tokens. */
export const COUNT: Check = real((value) => value >= 0 && Number.isInteger(value), 'an integer of 0 or more');

/** How many keys a row sees at most; 0 stands for no limit. */
export const WINDOW: Check = real(
  (value) => value >= 0 && value < 2 ** 31 && Number.isInteger(value),
  'an integer from 0 to 2147483647',
);

/** One of these names, which the error lists without quotes. */
export const oneOfNames = (names: readonly string[]): Check => [
  (value) => names.includes(value as string),
  `one of ${names.join(', ')}`,
];

/** Checks how many key sets a layer reads: one for all heads, or one for each KV head. */
export function checkSets(op: string, sets: number, kvHeads: number): void {
  if (sets !== 1 && sets !== kvHeads) refuse(op, 'sets', `1 or ${kvHeads}`, sets);
}

/** What an argument is that is not a tensor: the class of an object, else the value. */
function kindOf(value: unknown): string {
  return typeof value === 'object' && value !== null ? value.constructor.name : show(value);
}

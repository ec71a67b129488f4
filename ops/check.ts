/** What the ops validate their arguments with. Cheap where all is well: it runs at every call. */
import type {DataType, TensorInfo} from '@tensorflow/tfjs-core';

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
  if (x?.shape === undefined) throw new Error(`[${op}] ${name} must be a tensor but is ${describe(x)}`);
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
  const [groups, capacity] = k.shape;
  checkTensor(op, 'v', v, 'float32', [groups, capacity, headSize]);
  if (groups === 0 || heads % groups !== 0)
    throw new Error(`[${op}] q must have a multiple of k's ${groups} heads but has ${heads}`);
}

/** `[NucleusMask] p must be in (0, 1] but is 2`: an attribute for which `valid` does not hold. */
export function checkAttr(op: string, name: string, valid: boolean, expected: string, value: unknown): void {
  if (!valid) throw new Error(`[${op}] ${name} must be ${expected} but is ${describe(value)}`);
}

function describe(value: unknown): string {
  if (typeof value === 'number' || value === undefined) return String(value);
  return typeof value === 'object' && value !== null ? value.constructor.name : JSON.stringify(value);
}

/**
 * tf.einsum of one or two tensors: sums of products over named axes. Two tensors are contracted by one batched product
 * of matrices; a tensor is copied first only if its axes are not in the order that the product takes.
 */
import {
  backend_util,
  Einsum,
  util,
  type EinsumAttrs,
  type Tensor,
  type TensorInfo,
} from '@tensorflow/tfjs-core';

import type {NativeBackend} from '../types.js';
import {matMul} from './BatchMatMul.js';
import {binary} from './binary.js';
import {areFloat32, createKernel, fallback, withTemporaries, type Keep} from './kernel.js';
import {reduce} from './reduce.js';
import {movesNothing, permute} from './stridedCopy.js';

/**
 * A tensor and the names of its axes. A name is a number: the output's axes are 0, 1, … in order, summed axes follow.
 */
interface Named {
  x: TensorInfo;
  axes: number[];
}

const sizesOf = ({x, axes}: Named, wanted: number[]) => wanted.map((name) => x.shape[axes.indexOf(name)]);
const product = (sizes: number[]) => util.sizeFromShape(sizes);

/** The tensor with its axes in the order `wanted`, reshaped to `shape`. */
function arrange(backend: NativeBackend, {x, axes}: Named, wanted: number[], shape: number[]): TensorInfo {
  return permute(
    backend,
    x,
    x.shape,
    wanted.map((name) => axes.indexOf(name)),
    shape,
  );
}

/** Sums `operand` over its axes that are not `wanted`. */
function sumOut(
  backend: NativeBackend,
  operand: Named,
  wanted: (name: number) => boolean,
  keep: Keep,
): Named {
  const gone = operand.axes.flatMap((name, axis) => (wanted(name) ? [] : [axis]));
  if (gone.length === 0) return operand;
  return {x: keep(reduce(backend, 'Sum', operand.x, gone)), axes: operand.axes.filter(wanted)};
}

/**
 * `operand` as batched matrices [batch, first, second], or [batch, second, first] (`turned`) if only that needs no
 * copy.
 */
function matrices(
  backend: NativeBackend,
  operand: Named,
  [batch, first, second]: number[][],
  keep: Keep,
): {x: TensorInfo; turned: boolean} {
  const order = (groups: number[][]) => groups.flat().map((name) => operand.axes.indexOf(name));
  const turned =
    !movesNothing(operand.x.shape, order([batch, first, second])) &&
    movesNothing(operand.x.shape, order([batch, second, first]));
  const groups = turned ? [batch, second, first] : [batch, first, second];
  const shape = groups.map((group) => product(sizesOf(operand, group)));
  return {x: keep(arrange(backend, operand, groups.flat(), shape)), turned};
}

/** The product of two operands, summed over the axes whose names are `outputs` or more. */
function contract(backend: NativeBackend, a: Named, b: Named, outputs: number, keep: Keep): Named {
  const [inA, inB] = [a, b].map(
    ({axes}) =>
      (name: number) =>
        axes.includes(name),
  );
  const batch = a.axes.filter((name) => name < outputs && inB(name));
  const rows = a.axes.filter((name) => name < outputs && !inB(name));
  const columns = b.axes.filter((name) => name < outputs && !inA(name));
  const summed = a.axes.filter((name) => name >= outputs);
  const axes = [...batch, ...rows, ...columns];
  const shape = [...sizesOf(a, [...batch, ...rows]), ...sizesOf(b, columns)];
  const left = matrices(backend, a, [batch, rows, summed], keep);
  const right = matrices(backend, b, [batch, summed, columns], keep);
  if (summed.length > 0) {
    const options = {transposeA: left.turned, transposeB: right.turned};
    const y = keep(matMul(backend, left.x, right.x, options));
    return {x: keep(backend.alias(y, shape)), axes};
  }
  const [batches, m, n] = [batch, rows]
    .map((group) => product(sizesOf(a, group)))
    .concat(product(sizesOf(b, columns)));
  const $a = keep(backend.alias(left.x, [batches, m, 1]));
  const $b = keep(backend.alias(right.x, [batches, 1, n]));
  return {x: keep(backend.alias(keep(binary(backend, 'Multiply', $a, $b)), shape)), axes};
}

export const einsumConfig = createKernel<TensorInfo[], EinsumAttrs>(Einsum, (args) => {
  const {inputs, attrs, backend} = args;
  const {allDims, summedDims, idDims} = backend_util.decodeEinsumEquation(attrs.equation, inputs.length);
  backend_util.checkEinsumDimSizes(allDims.length, idDims, inputs as Tensor[]);
  if (!areFloat32(...inputs)) return fallback(Einsum, args);
  const outputs = allDims.length - summedDims.length; // number of the output's axes, which are named first
  return withTemporaries(backend, (keep) => {
    const [a, b] = inputs.map((x, i): Named => {
      const shared = (name: number) => inputs.length === 2 && idDims[1 - i].includes(name);
      return sumOut(backend, {x, axes: idDims[i]}, (name) => name < outputs || shared(name), keep);
    });
    const y = b ? contract(backend, a, b, outputs, keep) : a;
    const order = Array.from({length: outputs}, (_, name) => name);
    return arrange(backend, y, order, sizesOf(y, order));
  });
});

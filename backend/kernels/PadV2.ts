/** tf.pad and tf.mirrorPad: a tensor with elements added before and after its axes. */
import {MirrorPad, PadV2, type MirrorPadAttrs, type PadV2Attrs, type TensorInfo} from '@tensorflow/tfjs-core';

import type {NativeBackend} from '../types.js';
import {compute, createKernel, nativeDType} from './kernel.js';

/** The numbers of the modes in cuda/kernels/pad.h. */
const MODES = {constant: 0, reflect: 1, symmetric: 2};

/** How many elements to add before and after one axis. */
export type Padding = readonly [before: number, after: number];

/** Pads `x` in one launch. `paddings` has an entry for every axis. */
export function pad(
  backend: NativeBackend,
  x: TensorInfo,
  paddings: readonly Padding[],
  {mode = 'constant', constant = 0}: {mode?: keyof typeof MODES; constant?: number} = {},
): TensorInfo {
  const shape = x.shape.map((size, axis) => paddings[axis][0] + size + paddings[axis][1]);
  const before = paddings.map(([count]) => count);
  return compute(backend, 'Pad', [x], shape, nativeDType(x), [MODES[mode], constant, ...before]);
}

export const padV2Config = createKernel<{x: TensorInfo}, PadV2Attrs>(
  PadV2,
  ({inputs: {x}, attrs: {paddings, constantValue}, backend}) =>
    pad(backend, x, paddings, {constant: constantValue}),
);

export const mirrorPadConfig = createKernel<{x: TensorInfo}, MirrorPadAttrs>(
  MirrorPad,
  ({inputs: {x}, attrs: {paddings, mode}, backend}) => pad(backend, x, paddings, {mode}),
);

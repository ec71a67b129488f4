/** The native kernel that runs the convolution of each channel with filters of its own, and its gradients. */
import type {TensorInfo} from '@tensorflow/tfjs-core';

import type {NativeBackend} from '../types.js';
import {compute} from './kernel.js';
import {windowAttrs, type WindowSizes} from './windows.js';

/** In the order in which the kernel numbers its tensors. */
const TENSORS = ['x', 'filter', 'y'] as const;

/**
 * One of the images x, the filter and the result y from the other two, in one launch. For a gradient, y is that of the
 * result.
 * @param inputs the other two in this order
 */
export function depthwise(
  backend: NativeBackend,
  output: (typeof TENSORS)[number],
  inputs: [TensorInfo, TensorInfo],
  shape: number[],
  sizes: WindowSizes,
): TensorInfo {
  const attrs = [TENSORS.indexOf(output), ...windowAttrs(sizes)];
  return compute(backend, 'Depthwise', inputs, shape, 'float32', attrs);
}

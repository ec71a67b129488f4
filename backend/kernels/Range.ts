/**
 * tf.range: start, start + step, … up to but not including stop. A step of 1, the default, means −1 where stop is below
 * start.
 */
import {Range, type RangeAttrs} from '@tensorflow/tfjs-core';

import {compute, createKernel} from './kernel.js';

export const rangeConfig = createKernel<object, RangeAttrs>(
  Range,
  ({attrs: {start, stop, step, dtype}, backend}) => {
    const down = stop < start;
    const empty = start === stop || (!down && step < 0) || (down && step > 1);
    const length = empty ? 0 : Math.abs(Math.ceil((stop - start) / step));
    const $step = down && step === 1 ? -1 : step;
    const attrs = dtype === 'int32' ? [Math.trunc(start), Math.trunc($step)] : [start, $step];
    return compute(backend, 'Range', [], [length], dtype, attrs);
  },
);

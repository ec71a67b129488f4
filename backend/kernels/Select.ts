/** tf.where: condition ? t : e, elementwise. A condition of rank 1 picks whole rows of tensors of a higher rank. */
import {Select, upcastType, type TensorInfo} from '@tensorflow/tfjs-core';

import type {NativeDType} from '../types.js';
import {cast, compute, createKernel, withTemporaries} from './kernel.js';

export const selectConfig = createKernel<Record<'condition' | 't' | 'e', TensorInfo>>(
  Select,
  ({inputs, backend}) => {
    const {condition, t, e} = inputs;
    const dtype = upcastType(t.dtype, e.dtype) as NativeDType;
    const rank = t.shape.length;
    const byRow = condition.shape.length === 1 && rank > 1;
    return withTemporaries(backend, (keep) => {
      const bools = keep(cast(backend, condition, 'bool'));
      const picks = byRow
        ? keep(backend.alias(bools, [condition.shape[0], ...new Array<number>(rank - 1).fill(1)]))
        : bools;
      const $t = keep(cast(backend, t, dtype));
      const $e = keep(cast(backend, e, dtype));
      return compute(backend, 'Select', [picks, $t, $e], t.shape, dtype);
    });
  },
);

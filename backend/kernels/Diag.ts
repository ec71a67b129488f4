/** tf.diag: a tensor's elements on the diagonal of a tensor of twice the rank. */
import {Diag, util, type TensorInfo} from '@tensorflow/tfjs-core';

import {createKernel, withTemporaries} from './kernel.js';
import {pad} from './PadV2.js';
import {stridedCopy} from './stridedCopy.js';

/** Each of the n elements followed by n zeros makes n · (n + 1) numbers; the first n · n of them are the square. */
export const diagConfig = createKernel<{x: TensorInfo}>(Diag, ({inputs: {x}, backend}) =>
  withTemporaries(backend, (keep) => {
    const n = util.sizeFromShape(x.shape);
    const column = keep(backend.alias(x, [n, 1]));
    const rows = keep(
      pad(backend, column, [
        [0, 0],
        [0, n],
      ]),
    );
    return stridedCopy(backend, rows, [...x.shape, ...x.shape], 0, [n * n], [1]);
  }),
);

/** A tensor's elements on the diagonal of a square one: tf.diag. */
import {Diag, util, type TensorInfo} from '@tensorflow/tfjs-core';

import {createKernel, withTemporaries} from './kernel.js';
import {pad} from './PadV2.js';
import {stridedCopy} from './stridedCopy.js';

/** An element and n zeros after it, n times in a row: without the last zeros that is the square. */
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

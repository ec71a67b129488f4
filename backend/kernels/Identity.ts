/** Identity: a new reference to the same buffer. */
import {Identity, type TensorInfo} from '@tensorflow/tfjs-core';

import {createUntypedKernel} from './kernel.js';

export const identityConfig = createUntypedKernel<{x: TensorInfo}>(Identity, ({inputs: {x}, backend}) =>
  backend.alias(x),
);

/** tf.cast: conversion to another dtype. Floats are rounded towards zero for int32; bool is x != 0. */
import {Cast, type CastAttrs, type TensorInfo} from '@tensorflow/tfjs-core';

import {cast, createKernel, fallback, isNativeDType} from './kernel.js';

export const castConfig = createKernel<{x: TensorInfo}, CastAttrs>(Cast, (args) => {
  const {dtype} = args.attrs;
  return isNativeDType(dtype) ? cast(args.backend, args.inputs.x, dtype) : fallback(Cast, args);
});

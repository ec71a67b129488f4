/**
 * tf.image.resizeBilinear and tf.image.resizeNearestNeighbor: images [batch, height, width, channels] at another size.
 */
import {
  ResizeBilinear,
  ResizeNearestNeighbor,
  type ResizeBilinearAttrs,
  type TensorInfo,
} from '@tensorflow/tfjs-core';

import {cast, compute, createKernel, fallback, nativeDType, withTemporaries} from './kernel.js';

/** Both kernels have the same attributes. The kernel's place in the list is the native attribute `bilinear`. */
export const resizeConfigs = [ResizeNearestNeighbor, ResizeBilinear].map((name, bilinear) =>
  createKernel<{images: TensorInfo}, ResizeBilinearAttrs>(name, (args) => {
    const {
      inputs: {images},
      attrs: {size, alignCorners, halfPixelCenters},
      backend,
    } = args;
    if (images.dtype === 'bool') return fallback(name, args);
    const [batch, , , channels] = images.shape;
    const attrs = [bilinear, alignCorners ? 1 : 0, halfPixelCenters ? 1 : 0];
    return withTemporaries(backend, (keep) => {
      const x = bilinear ? keep(cast(backend, images, 'float32')) : images;
      return compute(backend, 'Resize', [x], [batch, ...size, channels], nativeDType(x), attrs);
    });
  }),
);

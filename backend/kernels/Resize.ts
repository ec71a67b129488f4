/**
 * tf.image.resizeBilinear and tf.image.resizeNearestNeighbor, images [batch, height, width, channels] at another size, and
 * their gradients.
 */
import {
  ResizeBilinear,
  ResizeBilinearGrad,
  ResizeNearestNeighbor,
  ResizeNearestNeighborGrad,
  type ResizeBilinearAttrs,
  type TensorInfo,
} from '@tensorflow/tfjs-core';

import {areFloat32, cast, compute, createKernel, fallback, nativeDType, withTemporaries} from './kernel.js';

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

/**
 * The gradients of both kernels. tfjs-backend-cpu ignores halfPixelCenters in them and gives ResizeBilinearGrad of images
 * that are not square a wrong shape; these are the gradients of {@link resizeConfigs}.
 */
export const resizeGradConfigs = [ResizeNearestNeighborGrad, ResizeBilinearGrad].map((name, bilinear) =>
  createKernel<Record<'images' | 'dy', TensorInfo>, ResizeBilinearAttrs>(name, (args) => {
    const {
      inputs: {images, dy},
      attrs: {alignCorners, halfPixelCenters},
      backend,
    } = args;
    if (!areFloat32(images, dy)) return fallback(name, args);
    const attrs = [bilinear, alignCorners ? 1 : 0, halfPixelCenters ? 1 : 0];
    return compute(backend, 'ResizeGrad', [dy], images.shape, 'float32', attrs);
  }),
);

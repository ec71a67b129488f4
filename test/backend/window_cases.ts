/** Filters over images, which the tests of convolutions, of pooling and of their gradients share. */

export type Pad = 'valid' | 'same' | number | [[0, 0], [number, number], [number, number], [0, 0]];
const EXPLICIT: Pad = [
  [0, 0],
  [2, 0],
  [1, 3],
  [0, 0],
];

/** Shape of the images, filter's height and width, strides, padding, dilations. */
export type WindowCase = [number[], [number, number], [number, number], Pad, [number, number]];

export const CASES: WindowCase[] = [
  [[1, 1, 1, 1], [1, 1], [1, 1], 'valid', [1, 1]],
  [[2, 5, 7, 3], [1, 1], [1, 1], 'same', [1, 1]],
  [[2, 5, 7, 3], [1, 1], [2, 3], 'valid', [1, 1]],
  [[2, 9, 8, 3], [3, 3], [1, 1], 'same', [1, 1]],
  [[1, 9, 8, 5], [3, 2], [2, 1], 'same', [1, 1]],
  [[3, 9, 8, 2], [2, 4], [1, 2], 'valid', [1, 1]],
  [[1, 11, 10, 3], [3, 3], [1, 1], 'same', [2, 3]],
  [[1, 11, 10, 3], [3, 2], [1, 1], 'valid', [3, 2]],
  [[2, 6, 6, 3], [3, 3], [2, 2], 1, [1, 1]],
  [[2, 6, 5, 3], [3, 3], [1, 1], EXPLICIT, [1, 1]],
  [[1, 31, 33, 17], [5, 5], [2, 2], 'same', [1, 1]],
];

export function titleOf([shape, filter, strides, pad, dilations]: WindowCase): string {
  const dilated = dilations.some((dilation) => dilation > 1) ? `, dilations ${dilations.join()}` : '';
  return `[${shape.join()}] by ${filter.join(' x ')}, strides ${strides.join()}, pad ${JSON.stringify(pad)}${dilated}`;
}

/**
 * The gradients of pooling, convolutions and resizing. Where the forward kernel is linear, each element of the gradient is by
 * definition the product of dy with the kernel's result for an image that is 1 at this element and 0 elsewhere; the sums are
 * made in double precision.
 */
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs'; // registers gradients
import {expect} from 'chai';

import {kernelConfigs} from '../../backend/kernels/index.js';
import {describeNative, expectSame, kernel, outcome, tensor} from './kernels.js';
import {CASES, titleOf, type WindowCase} from './window_cases.js';

type Images = tf.Tensor4D;
type Shape = [number, number, number, number];
type Forward = (images: Images) => tf.Tensor;

const bound = {relative: 1e-5, absolute: 1e-5};
const undilated = CASES.filter(([, , , , dilations]) => dilations.every((dilation) => dilation === 1));

/** The gradient of the sum of dy · forward(x) with respect to an x of `shape`, for a linear `forward` of batches. */
async function transposed(forward: Forward, shape: number[], dy: ArrayLike<number>): Promise<number[]> {
  await tf.setBackend('cpu');
  const [batch, ...image] = shape;
  const elements = tf.util.sizeFromShape(image);
  const columns = tf.tidy(() => {
    const basis = tf.reshape<tf.Rank.R4>(tf.eye(elements), [elements, ...image] as Shape);
    return forward(basis).dataSync();
  });
  const outputs = columns.length / elements;
  return Array.from({length: batch * elements}, (_, i) => {
    const [b, e] = [Math.floor(i / elements), i % elements];
    let sum = 0;
    for (let j = 0; j < outputs; j++) {
      const weight = columns[e * outputs + j];
      if (!Number.isNaN(weight)) sum += weight * dy[b * outputs + j]; // the mean of no pixels is NaN
    }
    return sum;
  });
}

/** What `program` gives on specattn is `want`, of `shape`. */
async function expectValues(program: () => tf.Tensor, shape: number[], want: number[]): Promise<void> {
  const [y] = (await outcome('specattn', program))!;
  expect(y.shape).to.deep.equal(shape);
  expect(y.dtype).to.equal('float32');
  const values = y.data as number[];
  want.forEach((x, i) => {
    if (!(Math.abs(values[i] - x) <= 1e-5 + 1e-5 * Math.abs(x)))
      expect.fail(`element ${i} must be ${x} but is ${values[i]}`);
  });
}

/** The gradient kernel `name` gives what the definition says, for a random dy. */
async function expectTransposed(
  name: string,
  forward: Forward,
  shape: number[],
  call: (dy: tf.Tensor) => [inputs: object, attrs: object],
): Promise<void> {
  await tf.setBackend('cpu');
  const outShape = tf.tidy(() => forward(tf.zeros<tf.Rank.R4>(shape as Shape)).shape);
  const dy = () => tensor(outShape, 'float32', {seed: 3});
  const want = await transposed(
    forward,
    shape,
    tf.tidy(() => dy().dataSync()),
  );
  await expectValues(() => kernel(name, ...call(dy())), shape, want);
}

describeNative('MaxPoolGrad', () => {
  const gradient = ([shape, filterSize, strides, pad]: WindowCase, x: Images) => {
    const y = tf.maxPool(x, filterSize, strides, pad);
    const dy = tensor(y.shape, 'float32', {seed: 3});
    expect(x.shape).to.deep.equal(shape);
    return kernel('MaxPoolGrad', {dy, input: x, output: y}, {filterSize, strides, pad});
  };

  for (const one of undilated)
    it(titleOf(one), () => expectSame(() => gradient(one, tensor(one[0]) as Images), bound));

  it('belongs to the first of equal elements', () =>
    expectSame(() =>
      gradient(undilated[3], tf.floor(tensor([2, 9, 8, 3], 'float32', {spread: 2})) as Images),
    ));

  it('of more channels than a thread takes at a time', () =>
    expectSame(() =>
      gradient([[2, 6, 5, 150], [3, 2], [2, 2], 'same', [1, 1]], tensor([2, 6, 5, 150]) as Images),
    ));

  it('of NaN and infinities', () =>
    expectSame(() => {
      const x = tf.tensor4d([NaN, 1, 2, NaN, Infinity, -Infinity, 3, NaN, NaN], [1, 3, 3, 1]);
      return (['valid', 'same'] as const).map((pad) =>
        gradient([[1, 3, 3, 1], [2, 2], [1, 1], pad, [1, 1]], x),
      );
    }));

  it('by tf.grad', () =>
    expectSame(() => tf.grad((x) => tf.maxPool(x as Images, 2, 2, 'valid'))(tensor([2, 8, 6, 3]) as Images)));

  it('of images with integers, by tfjs-backend-cpu', () =>
    expectSame(() => {
      const x = tensor([1, 4, 4, 2], 'int32');
      const dy = tensor([1, 2, 2, 2]);
      return kernel('MaxPoolGrad', {dy, input: x, output: dy}, {filterSize: 2, strides: 2, pad: 'valid'});
    }));
});

describeNative('AvgPoolGrad', () => {
  for (const one of undilated) {
    const [shape, filterSize, strides, pad] = one;
    const attrs = {filterSize, strides, pad};
    if (typeof pad === 'string' && tf.util.sizeFromShape(shape) <= 1000)
      it(titleOf(one), () =>
        expectTransposed(
          'AvgPoolGrad',
          (x) => tf.avgPool(x, filterSize, strides, pad),
          shape,
          (dy) => [{dy, input: tf.zeros(shape)}, attrs],
        ),
      );
    else if (typeof pad !== 'string')
      it(`${titleOf(one)}, as tfjs-backend-cpu`, () =>
        expectSame(() => {
          const x = tensor(shape) as Images;
          const dy = tensor(tf.avgPool(x, filterSize, strides, pad).shape, 'float32', {seed: 3});
          return kernel('AvgPoolGrad', {dy, input: x}, attrs);
        }, bound));
  }

  it('by tf.grad', () =>
    expectSame(() =>
      tf.grad((x) => tf.avgPool(x as Images, [2, 3], [2, 1], 'valid'))(tensor([2, 8, 6, 3]) as Images),
    ));
});

describeNative('DepthwiseConv2dNativeBackpropInput and Filter', () => {
  for (const multiplier of [1, 3])
    for (const one of CASES) {
      const [shape, [height, width], strides, pad, dilations] = one;
      const filter = () =>
        tensor([height, width, shape[3], multiplier], 'float32', {seed: 2, spread: 1}) as Images;
      const attrs = {strides, pad, dilations};
      if (tf.util.sizeFromShape(shape) > 1000) continue;
      it(`images, ${multiplier} of a channel, ${titleOf(one)}`, () =>
        expectTransposed(
          'DepthwiseConv2dNativeBackpropInput',
          (x) => tf.depthwiseConv2d(x, filter(), strides, pad, 'NHWC', dilations),
          shape,
          (dy) => [
            {dy, filter: filter()},
            {...attrs, inputShape: shape},
          ],
        ));

      it(`filter, ${multiplier} of a channel, ${titleOf(one)}`, async () => {
        // The filter's gradient is linear in the filter; its elements are the basis.
        await tf.setBackend('cpu');
        const x = () => tensor(shape, 'float32', {spread: 1}) as Images;
        const y = tf.tidy(() => tf.depthwiseConv2d(x(), filter(), strides, pad, 'NHWC', dilations).shape);
        const dy = () => tensor(y, 'float32', {seed: 3, spread: 1});
        const came = tf.tidy(() => dy().dataSync());
        const filterShape: Shape = [height, width, shape[3], multiplier];
        const size = tf.util.sizeFromShape(filterShape);
        const want = Array.from({length: size}, (_, i) =>
          tf.tidy(() => {
            const one = tf.tensor4d(
              Float32Array.from({length: size}, (_, j) => (i === j ? 1 : 0)),
              filterShape,
            );
            const out = tf.depthwiseConv2d(x(), one, strides, pad, 'NHWC', dilations).dataSync<'float32'>();
            return out.reduce((sum, value, j) => sum + value * came[j], 0);
          }),
        );
        await expectValues(
          () => kernel('DepthwiseConv2dNativeBackpropFilter', {x: x(), dy: dy()}, {...attrs, filterShape}),
          filterShape,
          want,
        );
      });
    }

  for (const multiplier of [1, 2, 3])
    it(`of larger images, ${multiplier} of a channel`, () =>
      expectSame(
        () => {
          const x = tensor([2, 31, 33, 17], 'float32', {spread: 1});
          const filter = tensor([5, 5, 17, multiplier], 'float32', {seed: 2, spread: 1});
          const dy = tensor([2, 16, 17, 17 * multiplier], 'float32', {seed: 3, spread: 1});
          const attrs = {strides: 2, pad: 'same', dilations: 1};
          return [
            kernel('DepthwiseConv2dNative', {x, filter}, attrs),
            kernel('DepthwiseConv2dNativeBackpropInput', {dy, filter}, {...attrs, inputShape: x.shape}),
            kernel('DepthwiseConv2dNativeBackpropFilter', {x, dy}, {...attrs, filterShape: filter.shape}),
          ];
        },
        {relative: 1e-5, absolute: 1e-4},
      ));

  it('by tf.grads', () =>
    expectSame(
      () =>
        tf.grads((x, filter) => tf.depthwiseConv2d(x as Images, filter as Images, 1, 'same'))([
          tensor([2, 8, 6, 3]) as Images,
          tensor([3, 3, 3, 2]) as Images,
        ]),
      bound,
    ));
});

describeNative('the gradients of resized images', () => {
  const SIZES: [from: number[], to: [number, number]][] = [
    [
      [1, 1, 1, 1],
      [3, 2],
    ],
    [
      [2, 3, 5, 3],
      [3, 5],
    ],
    [
      [2, 3, 5, 3],
      [7, 11],
    ],
    [
      [1, 13, 11, 2],
      [5, 1],
    ],
    [
      [1, 5, 4, 3],
      [31, 33],
    ],
    [
      [3, 8, 6, 1],
      [4, 3],
    ],
    [
      [1, 2, 33, 1],
      [31, 2],
    ],
  ];
  for (const name of ['ResizeBilinear', 'ResizeNearestNeighbor'])
    for (const [alignCorners, halfPixelCenters] of [
      [false, false],
      [true, false],
      [false, true],
    ])
      it(`${name}Grad${alignCorners ? ', corners aligned' : ''}${halfPixelCenters ? ', centres at half pixels' : ''}`, async () => {
        for (const [shape, size] of SIZES) {
          const attrs = {size, alignCorners, halfPixelCenters};
          await expectTransposed(
            `${name}Grad`,
            (images) => kernel(name, {images}, attrs),
            shape,
            (dy) => [{dy, images: tf.zeros(shape)}, attrs],
          );
        }
      });

  it('by tf.grad', () =>
    expectSame(() => {
      const x = tensor([2, 5, 5, 3]) as Images;
      return [
        tf.grad((images) => tf.image.resizeBilinear(images as Images, [7, 4]))(x),
        tf.grad((images) => tf.image.resizeNearestNeighbor(images as Images, [7, 4]))(x),
      ];
    }, bound));
});

describeNative('gradients without elements', () => {
  const pool = {filterSize: 2, strides: 2, pad: 'valid'};
  const resize = {alignCorners: false, halfPixelCenters: false};
  for (const shape of [
    [0, 4, 4, 3],
    [2, 4, 4, 0],
  ])
    it(`of [${shape.join()}]`, async () => {
      const [batch, , , channels] = shape;
      const dy = () => tf.zeros([batch, 2, 2, channels]);
      const results = await outcome('specattn', () => [
        kernel('MaxPoolGrad', {dy: dy(), input: tf.zeros(shape), output: dy()}, pool),
        kernel('AvgPoolGrad', {dy: dy(), input: tf.zeros(shape)}, pool),
        kernel('ResizeBilinearGrad', {dy: dy(), images: tf.zeros(shape)}, {...resize, size: [2, 2]}),
        kernel('ResizeNearestNeighborGrad', {dy: dy(), images: tf.zeros(shape)}, {...resize, size: [2, 2]}),
      ]);
      expect(results!.map((y) => y.shape)).to.deep.equal(Array(4).fill(shape));
    });
});

describeNative('products of many rows', () => {
  const product = (a: number[], b: number[], transposeA: boolean) => () => {
    const left = tensor(a, 'float32', {spread: 1});
    const right = tensor(b, 'float32', {seed: 2, spread: 1});
    return tf.matMul(left, right, transposeA);
  };
  for (const [rows, inner, columns] of [
    [33, 31, 1],
    [111, 25, 8],
    [129, 33, 17],
    [989, 7, 111],
    [300, 1, 64],
    [40, 3, 31],
  ])
    it(`[${rows},${inner}] · [${inner},${columns}]`, async () => {
      await expectSame(product([rows, inner], [inner, columns], false), bound);
      await expectSame(product([inner, rows], [inner, columns], true), bound);
      await expectSame(product([2, inner, rows], [1, inner, columns], true), bound);
    });

  it('of a transposed matrix with many rows', async () => {
    for (const [inner, rows, columns] of [
      [1025, 25, 8],
      [4111, 3, 31],
      [2048, 1, 1],
      [2500, 130, 70],
    ])
      await expectSame(product([inner, rows], [inner, columns], true), {relative: 1e-4, absolute: 2e-4});
  });

  it('of no inner size', async () => {
    for (const transposeA of [false, true])
      await expectSame(product(transposeA ? [0, 50] : [50, 0], [0, 7], transposeA));
  });

  it('a row has the same bits in a block of any size', async () => {
    await tf.setBackend('specattn');
    tf.tidy(() => {
      const a = tensor([200, 77]) as tf.Tensor2D;
      const b = tensor([77, 93], 'float32', {seed: 2}) as tf.Tensor2D;
      const all = tf.matMul(a, b);
      for (const rows of [1, 5, 32, 33, 100])
        expect(tf.matMul(tf.slice(a, 0, rows), b).dataSync()).to.deep.equal(
          tf.slice(all, 0, rows).dataSync(),
        );
    });
  });

  it('with bias and activation', () =>
    expectSame(
      () =>
        ([[19], [111, 19], [1, 19], []] as number[][]).flatMap((shape) =>
          [false, true].map((transposeA) =>
            tf.fused.matMul({
              a: tensor(transposeA ? [40, 111] : [111, 40], 'float32', {spread: 1}) as tf.Tensor2D,
              b: tensor([40, 19], 'float32', {seed: 2, spread: 1}) as tf.Tensor2D,
              transposeA,
              bias: tensor(shape, 'float32', {seed: 3}),
              activation: 'relu',
            }),
          ),
        ),
      bound,
    ));
});

describeNative('the gradients of a small convolutional net', () => {
  it('are native kernels', () => {
    const native = kernelConfigs.map(({kernelName}) => kernelName);
    expect(native).to.include.members([
      ...['Conv2DBackpropInput', 'Conv2DBackpropFilter', 'MaxPoolGrad', 'AvgPoolGrad'],
      ...['DepthwiseConv2dNativeBackpropInput', 'DepthwiseConv2dNativeBackpropFilter'],
      ...['ResizeBilinearGrad', 'ResizeNearestNeighborGrad'],
    ]);
  });

  it('are those of tfjs-backend-cpu', async () => {
    await expectSame(
      () => {
        const x = tensor([4, 28, 28, 1], 'float32', {spread: 1}) as Images;
        const filters = [
          [5, 5, 1, 8],
          [5, 5, 8, 16],
        ].map((shape) => tensor(shape, 'float32', {seed: 2, spread: 0.2}));
        const dense = tensor([256, 10], 'float32', {seed: 3, spread: 0.1});
        const loss = (first: tf.Tensor, second: tf.Tensor, last: tf.Tensor) => {
          const hidden = [first, second].reduce<tf.Tensor>(
            (images, filter) =>
              tf.maxPool(tf.relu(tf.conv2d(images as Images, filter as Images, 1, 'valid')), 2, 2, 'valid'),
            x,
          );
          const logits = tf.matMul(tf.reshape(hidden, [4, 256]) as tf.Tensor2D, last as tf.Tensor2D);
          return tf.neg(tf.mean(tf.slice(tf.logSoftmax(logits), [0, 3], [4, 1])));
        };
        return tf.grads(loss)([...filters, dense]);
      },
      {relative: 1e-4, absolute: 1e-5},
    );
  });
});

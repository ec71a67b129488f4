/** Tests of convolutions and pooling, which first copy the windows of an image side by side. */
import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';

import {describeNative, expectSame, kernel, tensor} from './kernels.js';
import {CASES} from './window_cases.js';

const images = (shape: number[], dtype: 'float32' | 'int32' = 'float32') =>
  tensor(shape, dtype, {spread: dtype === 'int32' ? 90 : 2}) as tf.Tensor4D;
const filters = (shape: number[]) => tensor(shape, 'float32', {seed: 2, spread: 1}) as tf.Tensor4D;
const bound = {relative: 1e-5, absolute: 1e-5};

describeNative('Conv2D', () => {
  for (const [shape, [height, width], strides, pad, dilations] of CASES)
    it(`[${shape.join()}] by ${height} x ${width}, strides ${strides.join()}, pad ${JSON.stringify(pad)}, dilations ${dilations.join()}`, () =>
      expectSame(() => {
        const x = images(shape);
        const filter = filters([height, width, shape[3], 4]);
        return tf.conv2d(x, filter, strides, pad, 'NHWC', dilations);
      }, bound));

  it('refuses a filter whose channels differ from those of the images', async () => {
    await tf.setBackend('specattn');
    const inputs = {x: images([1, 4, 4, 3]), filter: filters([2, 2, 2, 4])};
    const attrs = {strides: 1, pad: 'valid', dataFormat: 'NHWC', dilations: 1};
    expect(() => kernel('Conv2D', inputs, attrs)).to.throw('inner dimensions must agree but are 12');
    expect(() => kernel('DepthwiseConv2dNative', inputs, attrs)).to.throw(
      '[Depthwise] filter must have shape [2,2,3,?] but has [2,2,2,4]',
    );
  });

  it('other layouts, by tfjs-backend-cpu', () =>
    expectSame(() => tf.conv2d(images([2, 3, 5, 6]), filters([2, 2, 3, 4]), 1, 'valid', 'NCHW'), bound));

  it('without elements', () =>
    expectSame(() => tf.conv2d(images([0, 5, 5, 3]), filters([3, 3, 3, 4]), 1, 'same')));
});

describeNative('Conv2DBackpropInput and Conv2DBackpropFilter', () => {
  for (const [shape, [height, width], strides, pad, dilations] of CASES) {
    if (dilations.some((dilation) => dilation > 1)) continue;
    it(`[${shape.join()}] by ${height} x ${width}, strides ${strides.join()}, pad ${JSON.stringify(pad)}`, () =>
      expectSame(
        () => {
          const x = images(shape);
          const filter = filters([height, width, shape[3], 4]);
          const dy = tensor(tf.conv2d(x, filter, strides, pad).shape, 'float32', {seed: 3, spread: 1});
          const attrs = {strides, pad, dataFormat: 'NHWC'};
          return [
            kernel('Conv2DBackpropInput', {dy, filter}, {...attrs, inputShape: shape}),
            kernel('Conv2DBackpropFilter', {x, dy}, {...attrs, filterShape: filter.shape}),
          ];
        },
        {relative: 2e-5, absolute: 5e-5},
      ));
  }

  it('conv2dTranspose', () =>
    expectSame(
      () => tf.conv2dTranspose(images([2, 5, 4, 3]), filters([3, 3, 2, 3]), [2, 10, 8, 2], 2, 'same'),
      bound,
    ));

  it('padding that is wider than the filter, by tfjs-backend-cpu', () =>
    expectSame(() => {
      const [dy, filter] = [images([1, 7, 7, 2]), filters([1, 1, 3, 2])];
      const attrs = {strides: 1, pad: 1, dataFormat: 'NHWC', inputShape: [1, 5, 5, 3]};
      return kernel('Conv2DBackpropInput', {dy, filter}, attrs);
    }, bound));
});

describeNative('DepthwiseConv2dNative', () => {
  for (const multiplier of [1, 3])
    it(`${multiplier} outputs for each channel`, async () => {
      for (const [shape, [height, width], strides, pad, dilations] of CASES)
        await expectSame(() => {
          const x = images(shape);
          const filter = filters([height, width, shape[3], multiplier]);
          return tf.depthwiseConv2d(x, filter, strides, pad, 'NHWC', dilations);
        }, bound);
    });
});

describeNative('convolutions with bias and activation', () => {
  for (const activation of [
    undefined,
    'linear',
    'relu',
    'relu6',
    'elu',
    'sigmoid',
    'leakyrelu',
    'prelu',
  ] as const)
    it(activation ?? 'none', async () => {
      for (const bias of [undefined, [], [1], [6]]) {
        const options = () => ({
          ...{x: images([2, 5, 6, 3]), strides: 1, pad: 'same' as const, activation, leakyreluAlpha: 0.3},
          bias: bias && tensor(bias, 'float32', {seed: 3}),
          preluActivationWeights:
            activation === 'prelu' ? tensor([5, 6, 6], 'float32', {seed: 4}) : undefined,
        });
        await expectSame(
          () => [
            tf.fused.conv2d({...options(), filter: filters([3, 3, 3, 6])}),
            tf.fused.depthwiseConv2d({...options(), filter: filters([3, 3, 3, 2])}),
          ],
          bound,
        );
      }
    });

  it('refuses an activation that it does not know', async () => {
    await tf.setBackend('specattn');
    const [x, filter] = [images([1, 2, 2, 1]), filters([1, 1, 1, 1])];
    const unknown = {x, filter, strides: 1, pad: 0, activation: 'swish' as 'relu'};
    for (const conv of [tf.fused.conv2d, tf.fused.depthwiseConv2d])
      expect(() => conv(unknown)).to.throw('[activation] the activation must be one of linear');
  });
});

describeNative('MaxPool and AvgPool', () => {
  for (const [shape, filter, strides, pad, dilations] of CASES) {
    if (dilations.some((dilation) => dilation > 1)) continue;
    it(`[${shape.join()}] by ${filter.join(' x ')}, strides ${strides.join()}, pad ${JSON.stringify(pad)}`, () =>
      expectSame(
        () => [
          tf.maxPool(images(shape), filter, strides, pad),
          tf.maxPool(tf.sub<tf.Tensor4D>(images(shape), 9), filter, strides, pad),
          tf.avgPool(images(shape), filter, strides, pad),
        ],
        bound,
      ));
  }

  it('of integers', () =>
    expectSame(() => {
      const x = tf.sub(images([2, 6, 5, 3], 'int32'), tf.scalar(100, 'int32')) as tf.Tensor4D;
      return tf.engine().runKernel('MaxPool', {x}, {filterSize: 3, strides: 2, pad: 'same'}) as tf.Tensor;
    }));

  it('of NaN and infinities', () =>
    expectSame(() => {
      const x = tf.tensor4d([NaN, 1, 2, NaN, Infinity, -Infinity, 3, NaN, NaN], [1, 3, 3, 1]);
      return [tf.maxPool(x, 2, 1, 'valid'), tf.maxPool(x, 2, 1, 'same'), tf.avgPool(x, 2, 1, 'same')];
    }));
});

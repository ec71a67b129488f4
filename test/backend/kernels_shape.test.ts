import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';

import type {SpecAttnBackend} from '../../backend/index.js';
import {describeNative, DTYPES, expectSame, kernel, tensor, values, type DType} from './kernels.js';

/** Defines a test for each dtype. */
function each(name: string, test: (dtype: DType) => Promise<void>): void {
  for (const dtype of DTYPES) it(`${name} of ${dtype}`, () => test(dtype));
}

describeNative('kernels that move elements', () => {
  each('Identity, Reshape and ExpandDims', (dtype) =>
    expectSame(() => {
      const x = tensor([3, 4, 5], dtype);
      return [
        tf.clone(x),
        tf.reshape(x, [5, -1]),
        tf.expandDims(x, 1),
        tf.expandDims(x, -1),
        tf.reshape(tensor([1, 1], dtype), []),
      ];
    }),
  );

  each('Transpose', async (dtype) => {
    for (const [shape, perm] of [
      [
        [31, 33],
        [1, 0],
      ],
      [
        [1, 989],
        [1, 0],
      ],
      [
        [111, 989],
        [1, 0],
      ],
      [
        [5, 6, 7],
        [2, 0, 1],
      ],
      [
        [5, 6, 7],
        [1, 0, 2],
      ],
      [
        [5, 16, 33],
        [0, 2, 1],
      ],
      [
        [17, 2, 3, 18],
        [3, 1, 2, 0],
      ],
      [
        [3, 1, 2, 5],
        [1, 0, 2, 3],
      ],
      [
        [2, 3, 4, 5, 6],
        [4, 2, 0, 3, 1],
      ],
      [
        [2, 3, 2, 3, 2, 3],
        [5, 3, 1, 4, 2, 0],
      ],
      [
        [0, 3],
        [1, 0],
      ],
    ])
      await expectSame(() => tf.transpose(tensor(shape, dtype), perm));
    await expectSame(() => kernel('Transpose', {x: tensor([], dtype)}, {perm: []}));
  });

  each('Slice', async (dtype) => {
    for (const [shape, begin, size] of [
      [[33], [5], [11]],
      [
        [31, 33],
        [3, 4],
        [5, 6],
      ],
      [
        [31, 33],
        [3, 0],
        [5, 33],
      ],
      [
        [31, 33],
        [0, 0],
        [31, 33],
      ],
      [
        [4, 5, 6],
        [1, 0, 2],
        [2, 5, 1],
      ],
      [
        [2, 3, 4, 5, 6],
        [1, 1, 1, 1, 1],
        [1, 2, 3, 4, 5],
      ],
      [
        [3, 4],
        [1, 1],
        [0, 2],
      ],
    ])
      await expectSame(() => tf.slice(tensor(shape, dtype), begin, size));
  });

  each('StridedSlice', async (dtype) => {
    const x = () => tensor([5, 6, 7], dtype);
    await expectSame(() => [
      tf.stridedSlice(x(), [1, 0, 2], [5, 6, 7], [2, 3, 4]),
      tf.stridedSlice(x(), [4, 5, 6], [0, 1, 2], [-1, -2, -1]),
      tf.stridedSlice(x(), [0], [2], [1]),
      tf.stridedSlice(x(), [1, 2], [2, 4], [1, 1], 0, 0, 0, 0, 1),
      tf.stridedSlice(x(), [0, 1], [1, 3], [1, 1], 0, 0, 0, 1),
      tf.stridedSlice(x(), [3], [3], [1]),
      tf.stridedSlice(x(), [0, 2], [5, 6], [1, 1], 0, 0, 1),
    ]);
  });

  each('Tile and broadcastTo', async (dtype) => {
    for (const [shape, reps] of [
      [[33], [3]],
      [
        [3, 4],
        [2, 3],
      ],
      [
        [1, 5, 1],
        [4, 1, 3],
      ],
      [
        [2, 3, 2, 2],
        [1, 2, 3, 2],
      ],
      [
        [2, 1, 2, 1, 3],
        [2, 3, 1, 2, 2],
      ],
      [
        [3, 2],
        [0, 2],
      ],
    ])
      await expectSame(() => tf.tile(tensor(shape, dtype), reps));
    await expectSame(() => tf.broadcastTo(tensor([3, 1], dtype), [2, 3, 4]));
  });

  each('Concat and Pack', async (dtype) => {
    for (const axis of [0, 1, 2, -1])
      await expectSame(() => {
        const shapes = [2, 1, 5].map((n) => [3, 4, 6].map((size, i) => (i === (axis + 3) % 3 ? n : size)));
        return tf.concat(
          shapes.map((shape, seed) => tensor(shape, dtype, {seed})),
          axis,
        );
      });
    await expectSame(() => tf.concat([tensor([0, 3], dtype), tensor([2, 3], dtype), tensor([0, 3], dtype)]));
    await expectSame(() => tf.concat([tensor([0, 3], dtype), tensor([0, 3], dtype)]));
    for (const axis of [0, 1, 2])
      await expectSame(() => tf.stack([tensor([3, 4], dtype), tensor([3, 4], dtype, {seed: 2})], axis));
    await expectSame(() => [
      tf.stack([tensor([], dtype), tensor([], dtype)]),
      tf.stack([tensor([3], dtype)], 1),
    ]);
  });

  // A launch takes at most 255 inputs beside its output, so more tensors are joined in parts.
  each('Concat, Pack, AddN, Unpack and SplitV with hundreds of tensors', async (dtype) => {
    for (const count of [255, 256, 257, 1000]) {
      const list = (shapeOf: (i: number) => number[]) =>
        Array.from({length: count}, (_, i) => tensor(shapeOf(i), dtype, {seed: i}));
      for (const axis of [0, 1, 2])
        await expectSame(() => {
          const uneven = list((i) => [2, 2, 3].map((size, d) => (d === axis ? i % 3 : size)));
          return [
            tf.concat(uneven, axis),
            tf.stack(
              list(() => [2, 3]),
              axis,
            ),
          ];
        });
      await expectSame(() => [
        tf.concat(
          list(() => [0, 2]),
          1,
        ),
        tf.stack(list(() => [])),
      ]);
      await expectSame(() => tf.addN(list(() => [3])));
      await expectSame(() => {
        const x = tensor([2, count, 3], dtype);
        return [...tf.unstack(x, 1), ...tf.split(x, count, 1)];
      });
    }
  });

  it('Concat of hundreds of tensors takes the dtype of its first input', () =>
    expectSame(() => {
      const list = Array.from({length: 300}, (_, i) => tensor([2], DTYPES[(i + 1) % 3], {seed: i}));
      return kernel('Concat', list, {axis: 0});
    }));

  it('Concat takes the dtype of its first input', () =>
    expectSame(() => [
      kernel('Concat', [tensor([3], 'int32'), tensor([3], 'float32')], {axis: 0}),
      kernel('Concat', [tensor([3], 'float32'), tensor([3], 'bool')], {axis: 0}),
    ]));

  each('GatherV2', async (dtype) => {
    const indices = (shape: number[], below: number) =>
      tf.tensor(
        values(shape, 'float32', {seed: 5, spread: 1}).map((u) => Math.floor(((u + 1) / 2) * below)),
        shape,
        'int32',
      );
    await expectSame(() => [
      tf.gather(tensor([989, 33], dtype), indices([31], 989)),
      tf.gather(tensor([7], dtype), indices([2, 3, 4], 7)),
      tf.gather(tensor([5, 6, 7], dtype), indices([], 6), 1),
      tf.gather(tensor([5, 6, 7], dtype), indices([2, 2], 7), -1),
      tf.gather(tensor([5, 6, 7], dtype), indices([0], 5)),
      tf.gather(tensor([3, 6, 2], dtype), indices([3, 4], 6), 1, 1),
      tf.gather(tensor([3, 2, 6, 2], dtype), indices([3, 4], 6), 2, 1),
      tf.gather(tensor([3, 2, 6], dtype), indices([3, 2, 4], 6), 2, 2),
    ]);
  });

  it('GatherV2 gives zeros for an index out of range', async () => {
    await tf.setBackend('specattn');
    const picked = tf.gather(tf.ones([3, 2]), tf.tensor1d([-1, 2, 3, 2147483647], 'int32'));
    expect(Array.from(picked.dataSync())).to.deep.equal([0, 0, 1, 1, 0, 0, 0, 0]);
  });

  each('Reverse, SplitV and Unpack', async (dtype) => {
    await expectSame(() => [
      tf.reverse(tensor([33], dtype)),
      tf.reverse(tensor([3, 4, 5], dtype), [0, 2]),
      ...tf.split(tensor([6, 4], dtype), 3),
      ...tf.split(tensor([2, 9], dtype), [2, 3, 4], 1),
      ...tf.unstack(tensor([3, 4, 5], dtype), 1),
      ...tf.unstack(tensor([3, 4], dtype), -1),
    ]);
  });

  it('Fill, ZerosLike, OnesLike and Range', () =>
    expectSame(() => [
      ...DTYPES.flatMap((dtype) => [
        tf.fill([3, 4], 1, dtype),
        tf.zerosLike(tensor([5], dtype)),
        tf.onesLike(tensor([2, 2], dtype)),
      ]),
      tf.fill([], -2.5),
      tf.fill([0, 3], 7),
      tf.range(0, 33),
      tf.range(3, 20, 4, 'int32'),
      tf.range(10, -7, -3, 'int32'),
      tf.range(0, 1, 0.125),
      tf.range(5, 0, 1),
      tf.range(2, 2),
    ]));

  it('OneHot', () =>
    expectSame(() => [
      ...DTYPES.map((dtype) => tf.oneHot(tf.tensor1d([0, 3, -1, 7, 2], 'int32'), 5, 1, 0, dtype)),
      tf.oneHot(tensor([2, 3, 4], 'int32'), 9, 2.5, -1, 'float32'),
      tf.oneHot(tf.tensor1d([], 'int32'), 5),
    ]));

  it('strings and complex numbers by tfjs-backend-cpu', () =>
    expectSame(() => {
      const s = tf.tensor2d(['a', 'b', 'c', 'd'], [2, 2], 'string');
      // Makes a new tensor for each use, because tfjs-backend-cpu's Reshape changes the shape of shared parts.
      const z = () => tf.complex(tensor([2, 3]), tensor([2, 3], 'float32', {seed: 2}));
      const parts = (x: tf.Tensor) => [tf.real(x), tf.imag(x)];
      return [
        tf.clone(s),
        tf.reshape(s, [4]),
        tf.concat([s, s], 1),
        tf.slice(s, [1, 0], [1, 2]),
        kernel('GatherV2', {x: s, indices: tf.tensor1d([1], 'int32')}, {axis: 0, batchDims: 0}),
        tf.equal(s, s),
        ...parts(tf.clone(z())),
        ...parts(tf.reshape(z(), [6])),
        ...parts(tf.add(z(), z())),
        ...parts(tf.concat([z(), z()])),
        tf.cast(z(), 'float32'),
      ];
    }));

  for (const storage of ['bfloat16', 'float16'] as const) {
    it(`reads float32 tensors stored as ${storage}`, async () => {
      await tf.setBackend('specattn');
      const backend = tf.backend() as unknown as SpecAttnBackend;
      const data = Float32Array.from({length: 24}, (_, i) => i - 9); // exact in both storages
      const wide = tf.tensor(data, [4, 6]);
      const half = tf.engine().makeTensorFromTensorInfo(backend.upload([data], 'float32', [4, 6], storage));
      expect(backend.storageOf(half)).to.equal(storage);
      const programs: ((x: tf.Tensor) => tf.Tensor)[] = [
        (x) => tf.clone(x),
        (x) => tf.transpose(x),
        (x) => tf.slice(x, [1, 2], [2, 3]),
        (x) => tf.tile(x, [2, 1]),
        (x) => tf.concat([x, wide], 1),
        (x) => tf.gather(x, tf.tensor1d([3, 0, 3], 'int32')),
        (x) => tf.add(x, 1),
        (x) => tf.exp(x),
        (x) => tf.sum(x, 0),
        (x) => tf.cast(x, 'int32'),
        (x) => tf.softmax(x),
        (x) => tf.matMul(wide, x, false, true),
        (x) => tf.matMul(x, wide, false, true),
        (x) => tf.cumsum(x, 1),
        (x) =>
          tf.pad(x, [
            [1, 0],
            [0, 2],
          ]),
        (x) => tf.gatherND(x, tf.tensor2d([3, 0, 1, 5], [2, 2], 'int32')),
        (x) => tf.tensorScatterUpdate(x, tf.tensor2d([2], [1, 1], 'int32'), tf.zeros([1, 6])),
        (x) => tf.einsum('ij,kj->ki', x, wide),
        (x) => tf.einsum('ij,ik->j', wide, x),
      ];
      for (const program of programs) {
        const [a, b] = [program(half), program(wide)];
        expect(a.shape).to.deep.equal(b.shape);
        expect(Array.from(a.dataSync()), program.toString()).to.deep.equal(Array.from(b.dataSync()));
      }
    });
  }
});

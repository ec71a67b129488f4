/** Tests that the addon checks a launch descriptor and refuses invalid numbers before any kernel runs. */
import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';

import {loadAddon} from '../../backend/addon.js';
import type {SpecAttnBackend} from '../../backend/index.js';
import {onBackend} from '../backends.js';
import {LAUNCHES} from '../fuzz/launches.js';
import {launches} from '../fuzz/targets/launches.js';

onBackend('specattn', 'a launch descriptor', () => {
  const loaded = loadAddon();
  const numberOf = (name: string) =>
    'addon' in loaded ? loaded.addon.kernels.findIndex((kernel) => kernel.name === name) : -1;
  const last = 'addon' in loaded ? loaded.addon.kernels.length - 1 : -1;
  const {device} = tf.findBackend('specattn') as SpecAttnBackend;
  const FLOAT = 0;
  const HALF = 2;
  let from = -1;
  let to = -1;
  let other = -1;

  before(() => {
    [from, to, other] = [device.allocate(24), device.allocate(24), device.allocate(4)];
  });
  after(() => {
    device.free(from);
    device.free(to);
    device.free(other);
  });

  const launch = (...numbers: number[]) => {
    device.descriptor.fill(NaN);
    device.descriptor.set(numbers);
    device.launch();
  };
  /** Copies a tensor of these dimensions to another. */
  const copy = (dims: number[], {handle = from, dtype = FLOAT, target = to} = {}) =>
    launch(
      numberOf('Copy'),
      1,
      1,
      0,
      handle,
      dtype,
      dims.length,
      ...dims,
      target,
      FLOAT,
      dims.length,
      ...dims,
    );

  it('is accepted if everything fits', () => {
    device.write(from, 0, Float32Array.of(1, 2, 3, 4, 5, 6));
    copy([2, 3]);
    const read = new Float32Array(6);
    device.read(to, 0, read);
    expect([...read]).to.deep.equal([1, 2, 3, 4, 5, 6]);
    copy([0, 2 ** 30]);
  });

  const refused: [string, () => void, string][] = [
    [
      'a negative kernel number',
      () => launch(-1, 0, 0, 0),
      `[launch] kernel must be a whole number from 0 to ${last} but is -1`,
    ],
    [
      'a fractional kernel number',
      () => launch(0.5, 0, 0, 0),
      `[launch] kernel must be a whole number from 0 to ${last} but is 0.5`,
    ],
    [
      'NaN inputs',
      () => launch(0, NaN, 0, 0),
      '[launch] the number of inputs must be a whole number from 0 to 256',
    ],
    [
      'too many outputs',
      () => launch(0, 200, 57, 0),
      '[launch] the number of outputs must be a whole number from 0 to 56',
    ],
    [
      'attributes past the end',
      () => launch(0, 0, 0, 8190),
      '[launch] the descriptor ends before its attributes',
    ],
    [
      'a negative size',
      () => copy([-2, -3]),
      "[launch] a tensor's dimension must be a whole number from 0 to",
    ],
    [
      'sizes whose product wraps around',
      () => copy([2 ** 32, 2 ** 32]),
      '[Copy] tensor 0 of shape [4294967296,4294967296] is too large',
    ],
    [
      'an empty tensor with a dimension that is too large',
      () => copy([0, 2 ** 31]),
      '[Copy] tensor 0 of shape [0,2147483648] is too large',
    ],
    [
      'more than the buffer holds',
      () => copy([7]),
      '[Copy] tensor 0 of shape [7] is larger than its buffer of 24 bytes',
    ],
    [
      'an unknown dtype',
      () => copy([1], {dtype: 5}),
      "[launch] a tensor's dtype must be a whole number from 0 to 4 but is 5",
    ],
    [
      'an unknown buffer',
      () => copy([1], {handle: 1e6}),
      '[Copy] tensor 0: no buffer has the handle 1000000',
    ],
    [
      "an output in an input's buffer",
      () => copy([1], {target: from}),
      '[Copy] output 0 must not be in the buffer of input 0',
    ],
    [
      'an output larger than what is broadcast to it',
      () => launch(numberOf('Binary'), 2, 1, 1, from, FLOAT, 1, 1, from, FLOAT, 0, to, FLOAT, 1, 6, 0),
      "[Binary] dimension 0 of the output is 6 but neither a's nor b's",
    ],
    [
      'half-stored attention weights',
      () => {
        const float = (...dims: number[]) => [from, FLOAT, dims.length, ...dims];
        const inputs = [...float(1, 1, 2), ...float(1, 2, 2), ...float(1, 2, 2), from, 3, 1, 1];
        launch(
          numberOf('CausalAttention'),
          4,
          2,
          3,
          ...inputs,
          to,
          FLOAT,
          3,
          1,
          1,
          2,
          other,
          HALF,
          2,
          1,
          2,
          1,
          1,
          0,
        );
      },
      '[CausalAttention] weights must be float32 but is float16',
    ],
    [
      'too many attention weights to count',
      () => {
        const many = 2 ** 30;
        const float = (...dims: number[]) => [from, FLOAT, dims.length, ...dims];
        const inputs = [...float(many, 1, 0), ...float(1, many, 0), ...float(1, many, 0), from, 3, 1, 1];
        launch(
          numberOf('CausalAttention'),
          5,
          2,
          3,
          ...inputs,
          ...[from, 3, 1, 4],
          ...[to, FLOAT, 3, many, 1, 0],
          ...[other, FLOAT, 1, 0],
          1,
          2,
          0,
        );
      },
      '[CausalAttention] weights must have shape [4,1073741824,1073741824] but has [0]',
    ],
    [
      'a storage that the kernel does not read',
      () => launch(numberOf('Softmax'), 1, 1, 1, from, HALF, 1, 4, to, FLOAT, 1, 4, 0),
      '[Softmax] input 0 must be float32, int32 or bool but is float16',
    ],
    [
      'an attribute that is no whole number',
      () => launch(numberOf('ArgMax'), 1, 1, 2, from, FLOAT, 2, 2, 3, to, 3, 1, 2, 0.5, 0),
      '[ArgMax] axis 0.5 of a tensor of rank 2',
    ],
    [
      'strides that wrap around',
      () =>
        launch(
          numberOf('StridedCopy'),
          1,
          1,
          5,
          from,
          FLOAT,
          1,
          6,
          to,
          FLOAT,
          2,
          3,
          2,
          0,
          3,
          2 ** 53,
          2,
          2 ** 53,
        ),
      '[StridedCopy] size 0 and its stride, 3 and 9.0072e+15, leave the 6 elements',
    ],
    [
      'an unknown function',
      () => launch(numberOf('Unary'), 1, 1, 1, from, FLOAT, 1, 6, to, FLOAT, 1, 6, 1e300),
      '[Unary] no function 1e+300',
    ],
  ];
  for (const [what, run, message] of refused)
    it(`is refused with ${what}`, () => {
      expect(run).to.throw(message);
    });

  it('of a product over no elements runs on a device without scratch memory', () => {
    if (!('addon' in loaded)) throw new Error(loaded.reason);
    const fresh = new loaded.addon.Device('cpu');
    const [a, b, y] = [fresh.allocate(0), fresh.allocate(0), fresh.allocate(24)];
    const product = [
      numberOf('BatchMatMul'),
      2,
      1,
      4,
      a,
      FLOAT,
      2,
      0,
      2,
      b,
      FLOAT,
      2,
      0,
      3,
      y,
      FLOAT,
      2,
      2,
      3,
    ];
    fresh.descriptor.set([...product, 1, 0, 0, 0]);
    fresh.launch();
    const read = new Float32Array(6).fill(7);
    fresh.read(y, 0, read);
    expect([...read]).to.deep.equal([0, 0, 0, 0, 0, 0]);
  });

  it('and other calls are refused with arguments that are missing or not numbers', () => {
    const odd = device as unknown as Record<string, (...args: unknown[]) => void>;
    expect(() => odd.free()).to.throw('[free] no buffer has the handle -1');
    expect(() => odd.free({})).to.throw('[free] no buffer has the handle -1');
    expect(() => odd.free(from + 0.5)).to.throw('[free] no buffer has the handle -1');
    expect(() => odd.allocate()).to.throw('[allocate] bytes must be a whole number >= 0');
    expect(() => odd.allocate(0.5)).to.throw('[allocate] bytes must be a whole number >= 0');
    expect(() => odd.write(from, 0.5, new Uint8Array(1))).to.throw(
      '[write] 1 bytes at offset 0.5 do not fit',
    );
    expect(() => odd.replay()).to.throw('[replay] the capture was freed');
    expect(() => odd.writeFromFile(from, 0, 2 ** 40, 0, 8)).to.throw(
      '[writeFromFile] no file has the number',
    );
    if ('addon' in loaded)
      expect(() => (loaded.addon.Device as unknown as () => void)()).to.throw('[device] Device is a class');
  });

  it('has an accepted example for every kernel', () => {
    const kernels = 'addon' in loaded ? loaded.addon.kernels.map(({name}) => name) : [];
    expect([...new Set(LAUNCHES.map(({kernel}) => kernel))]).to.have.members(kernels);
    for (const made of LAUNCHES) launches.run({launch: made, sizes: [], changes: [], data: [1], spoiled: []});
  });

  // Each kernel converts its attributes to integers itself. Under sanitizers (test:asan) a conversion that overflows ends the process.
  for (const made of LAUNCHES.filter(({attrs}) => attrs.length > 0))
    it(`takes or refuses any number as an attribute of ${made.kernel}`, () => {
      for (const at of made.attrs.keys())
        for (const to of [NaN, Infinity, -Infinity, 1e308, -1e308, 2 ** 53, -(2 ** 53), 2 ** 31, -1, 0.5]) {
          const input = {
            launch: made,
            sizes: [],
            changes: [{what: 'attr' as const, at, to}],
            data: [1],
            spoiled: [],
          };
          try {
            launches.run(input);
          } catch (error) {
            expect(error).to.be.instanceOf(Error);
            expect((error as Error).message, `attribute ${at} as ${to}`).to.satisfy((message: string) =>
              launches.names(message, input),
            );
          }
        }
    });
});

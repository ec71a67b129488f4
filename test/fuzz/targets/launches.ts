/** Fuzz target: launches of native kernels with shapes, storages and attributes that may not fit, and with any data. */
import * as tf from '@tensorflow/tfjs-core';
import * as fc from 'fast-check';

import {loadAddon} from '../../../backend/addon.js';
import {BACKEND, type SpecAttnBackend} from '../../../backend/index.js';
import {BYTES, type Storage} from '../../../backend/types.js';
import {hostileNumber} from '../hostile.js';
import {LAUNCHES, type Launch, type LaunchTensor} from '../launches.js';
import type {Target} from '../target.js';

const storages = Object.keys(BYTES) as Storage[];

/** A dimension, mostly a small one. */
const dimension = fc.oneof(
  {weight: 8, arbitrary: fc.integer({min: 0, max: 40})},
  {weight: 1, arbitrary: fc.constantFrom(128, 256, 257, 1000)},
);

type Change =
  | {what: 'dimension'; tensor: number; at: number; to: number}
  | {what: 'rank'; tensor: number; shape: number[]}
  | {what: 'storage'; tensor: number; to: Storage}
  | {what: 'attr'; at: number; to: number}
  | {what: 'count'; at: number; to: number};

const change: fc.Arbitrary<Change> = fc.oneof(
  fc.record({what: fc.constant('dimension' as const), tensor: fc.nat(9), at: fc.nat(3), to: dimension}),
  fc.record({
    what: fc.constant('rank' as const),
    tensor: fc.nat(9),
    shape: fc.array(dimension, {maxLength: 4}),
  }),
  fc.record({what: fc.constant('storage' as const), tensor: fc.nat(9), to: fc.constantFrom(...storages)}),
  fc.record({what: fc.constant('attr' as const), at: fc.nat(4), to: hostileNumber}),
  fc.record({what: fc.constant('count' as const), at: fc.nat(9), to: fc.integer({min: -1, max: 1})}),
);

interface Input {
  launch: Launch;
  /** pairs of sizes: every dimension of the first size gets the second, so that a launch often still fits */
  sizes: [number, number][];
  changes: Change[];
  data: number[];
  /** changes of numbers in the launch descriptor, also to numbers that TensorFlow.js would never write */
  spoiled: {at: number; to: number}[];
}

const input: fc.Arbitrary<Input> = fc.record({
  launch: fc.constantFrom(...LAUNCHES),
  sizes: fc.array(fc.tuple(fc.integer({min: 1, max: 41}), dimension), {maxLength: 2}),
  changes: fc.array(change, {maxLength: 2}),
  data: fc.array(hostileNumber, {minLength: 1, maxLength: 9}),
  spoiled: fc.oneof(
    {weight: 3, arbitrary: fc.constant<Input['spoiled']>([])},
    {
      weight: 1,
      arbitrary: fc.array(fc.record({at: fc.nat(60), to: hostileNumber}), {minLength: 1, maxLength: 3}),
    },
  ),
});

function changed({launch, sizes, changes}: Input): Launch {
  const resized = ({shape, ...rest}: LaunchTensor): LaunchTensor => ({
    ...rest,
    shape: shape.map((size) => sizes.find(([from]) => from === size)?.[1] ?? size),
  });
  const made: Launch = {
    kernel: launch.kernel,
    inputs: launch.inputs.map(resized),
    outputs: launch.outputs.map(resized),
    attrs: [...launch.attrs],
  };
  for (const one of changes) {
    const all = [...made.inputs, ...made.outputs];
    if (one.what === 'attr') {
      if (made.attrs.length > 0) made.attrs[one.at % made.attrs.length] = one.to;
    } else if (one.what === 'count') {
      if (one.to < 0) [made.inputs, made.outputs, made.attrs][one.at % 3].pop();
      if (one.to > 0) made.attrs.push(one.to);
      if (one.to === 0 && made.inputs.length > 0) made.inputs.push({...made.inputs[0]});
    } else if (all.length > 0) {
      const tensor = all[one.tensor % all.length];
      if (one.what === 'storage') tensor.storage = one.to;
      else if (one.what === 'rank') tensor.shape = [...one.shape];
      else if (tensor.shape.length > 0) tensor.shape[one.at % tensor.shape.length] = one.to;
    }
  }
  return made;
}

/** Larger tensors are skipped: they take long and find nothing that smaller ones do not. */
const MOST_ELEMENTS = 200_000;

function run(input: Input): void {
  const backend = tf.backend() as SpecAttnBackend;
  const {kernel, inputs, outputs, attrs} = changed(input);
  if ([...inputs, ...outputs].some(({shape}) => tf.util.sizeFromShape(shape) > MOST_ELEMENTS)) return;
  const made: tf.TensorInfo[] = [];
  const make = ({storage, shape}: LaunchTensor): tf.TensorInfo => {
    const half = storage === 'bfloat16' || storage === 'float16';
    const info = backend.output(shape, half ? 'float32' : storage, storage);
    made.push(info);
    const bytes = new Uint8Array(tf.util.sizeFromShape(shape) * BYTES[storage]);
    fill(bytes, storage, input.data);
    backend.device.write(backend.handleOf(info), 0, bytes);
    return info;
  };
  try {
    const read = inputs.map(make);
    const written = outputs.map((output) => {
      const from = output.donated === undefined ? undefined : read[output.donated];
      return from ? {...from, shape: output.shape} : make(output);
    });
    if (input.spoiled.length === 0) backend.launch(kernel, read, written, attrs);
    else launchSpoiled(backend, kernel, read, written, attrs, input.spoiled);
    backend.synchronize();
  } finally {
    made.forEach((info) => backend.disposeIntermediateTensorInfo(info));
  }
}

/** Launches with the descriptor that the backend would write, except for some changed numbers. */
function launchSpoiled(
  backend: SpecAttnBackend,
  kernel: string,
  inputs: tf.TensorInfo[],
  outputs: tf.TensorInfo[],
  attrs: number[],
  spoiled: Input['spoiled'],
): void {
  const tensors = [...inputs, ...outputs].flatMap((x) => {
    const storage = storages.indexOf(backend.storageOf(x));
    return [backend.handleOf(x), storage, x.shape.length, ...x.shape];
  });
  const descriptor = [numberOf(kernel), inputs.length, outputs.length, attrs.length, ...tensors, ...attrs];
  for (const {at, to} of spoiled) descriptor[at % descriptor.length] = to;
  backend.device.descriptor.set(descriptor);
  backend.device.launch();
}

function numberOf(kernel: string): number {
  const loaded = loadAddon();
  if (!('addon' in loaded)) throw new Error(loaded.reason);
  return loaded.addon.kernels.findIndex(({name}) => name === kernel);
}

/** Fills `bytes` with the numbers of `data`, repeated. Bools and half-stored floats get arbitrary bytes. */
function fill(bytes: Uint8Array, storage: Storage, data: number[]): void {
  const {buffer} = bytes;
  if (storage === 'float32')
    new Float32Array(buffer).forEach((_, i, all) => (all[i] = data[i % data.length]));
  else if (storage === 'int32')
    new Int32Array(buffer).forEach((_, i, all) => (all[i] = data[i % data.length]));
  else bytes.forEach((_, i) => (bytes[i] = data[i % data.length] * 77));
}

export const launches: Target<Input> = {
  name: 'launches',
  share: 30,
  input,
  run,
  names: (message, {launch, spoiled}) =>
    message.startsWith(`[${launch.kernel}] `) ||
    message.startsWith('[launch] ') ||
    // The number of the kernel may have been changed too.
    (spoiled.length > 0 && /^\[\w+\] /.test(message)),
  setUp: async () => void (await tf.setBackend(BACKEND)),
};

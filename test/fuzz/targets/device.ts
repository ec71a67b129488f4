/** Fuzz target: calls of the addon's native device, in any order and with any arguments. */
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import * as fc from 'fast-check';

import {loadAddon, type Addon, type NativeDevice} from '../../../backend/addon.js';
import {hostileNumber} from '../hostile.js';
import type {Target} from '../target.js';

type Method = Exclude<keyof NativeDevice, 'name' | 'description' | 'asynchronous' | 'descriptor'>;
const METHODS: Method[] = [
  ...([
    'allocate',
    'free',
    'write',
    'read',
    'writeFromFile',
    'launch',
    'newCapturePool',
    'beginCapture',
    'endCapture',
    'mark',
  ] as const),
  ...([
    'addOutput',
    'replay',
    'readOutput',
    'times',
    'launches',
    'freeCapture',
    'memory',
    'trim',
    'synchronize',
  ] as const),
];

/** A reference to a buffer, capture or file that was made before, or any other value. */
type Argument = {made: 'buffer' | 'capture' | 'file'; number: number} | {value: unknown};
const argument: fc.Arbitrary<Argument> = fc.oneof(
  {weight: 6, arbitrary: fc.record({made: fc.constantFrom('buffer', 'capture', 'file'), number: fc.nat(5)})},
  {weight: 3, arbitrary: fc.nat(300).map((value) => ({value}))},
  {weight: 2, arbitrary: hostileNumber.map((value) => ({value}))},
  {weight: 2, arbitrary: fc.nat(80).map((bytes) => ({value: new Uint8Array(bytes)}))},
  {
    weight: 1,
    arbitrary: fc
      .constantFrom<unknown>(
        undefined,
        null,
        'x',
        {},
        [],
        1n,
        new DataView(new ArrayBuffer(8)),
        new Float64Array(3),
        new ArrayBuffer(8),
      )
      .map((value) => ({value})),
  },
);

interface Call {
  method: Method;
  arguments: Argument[];
  /** numbers that are written into the launch descriptor before the call */
  descriptor: number[];
}
const call: fc.Arbitrary<Call> = fc.record({
  method: fc.constantFrom(...METHODS),
  arguments: fc.array(argument, {maxLength: 6}),
  descriptor: fc.oneof(
    fc.array(hostileNumber, {maxLength: 24}),
    // Copy from one buffer to another; some of these launches are accepted.
    fc
      .tuple(fc.nat(3), fc.nat(3), fc.nat(3))
      .map(([from, to, size]) => [15, 1, 1, 0, from, 0, 1, size, to, 0, 1, size]),
  ),
});

/** Sizes of buffers in between are left out: the machine could allocate them, but needs the memory for other work. */
const [MOST_BYTES, NO_MEMORY] = [2 ** 24, 2 ** 46];

let addon: Addon;
let device: NativeDevice;
let file = '';
let fd = -1;

/** Runs the calls. A capture needs its buffers to stay alive, so buffers are freed only while there is no capture. */
function run(calls: Call[]): void {
  const buffers: number[] = [];
  const captures: number[] = [];
  let recording = false;
  const refusals: Error[] = [];
  const resolve = (one: Argument): unknown => {
    if ('value' in one) return one.value;
    if (one.made === 'file') return fd;
    const list = one.made === 'buffer' ? buffers : captures;
    return list.length > 0 ? list[one.number % list.length] : one.number;
  };
  for (const {method, arguments: given, descriptor} of calls) {
    const args = given.map(resolve);
    if (method === 'free' && (recording || captures.length > 0)) continue;
    if (
      method === 'allocate' &&
      Number.isFinite(args[0]) &&
      (args[0] as number) > MOST_BYTES &&
      (args[0] as number) < NO_MEMORY
    )
      continue;
    device.descriptor.set(descriptor);
    if (method === 'endCapture') recording = false; // also where the capture is refused
    try {
      const result = (device[method] as (...args: unknown[]) => unknown)(...args);
      if (method === 'allocate') buffers.push(result as number);
      if (method === 'free') buffers.splice(buffers.indexOf(args[0] as number), 1);
      if (method === 'beginCapture') recording = true;
      if (method === 'endCapture') captures.push(result as number);
      if (method === 'freeCapture' && captures.includes(args[0] as number))
        captures.splice(captures.indexOf(args[0] as number), 1);
    } catch (error) {
      refusals.push(error as Error);
    }
  }
  if (recording) {
    try {
      captures.push(device.endCapture());
    } catch (error) {
      refusals.push(error as Error);
    }
  }
  captures.forEach((capture) => device.freeCapture(capture));
  buffers.forEach((buffer) => device.free(buffer));
  const {bytesInUse, buffers: left} = device.memory();
  if (bytesInUse !== 0 || left !== 0) throw new TypeError(`${left} buffers of ${bytesInUse} bytes are left`);
  const odd = refusals.find(
    ({constructor, message}) =>
      constructor !== Error || !/^\[\w+\] |^(cannot be read|must have \d+ bytes)/.test(message),
  );
  if (odd) throw odd.constructor === Error ? new TypeError(odd.message) : odd;
  if (refusals.length > 0) throw refusals[0];
}

export const nativeDevice: Target<Call[]> = {
  name: 'native device',
  share: 10,
  input: fc.array(call, {minLength: 1, maxLength: 12}),
  run,
  // `run` checks each of the refusals itself.
  names: () => true,
  setUp: () => {
    const loaded = loadAddon();
    if (!('addon' in loaded)) throw new Error(loaded.reason);
    addon = loaded.addon;
    device = new addon.Device('cpu');
    file = path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'specattn-fuzz-')), 'bytes');
    fs.writeFileSync(file, new Uint8Array(200));
    fd = fs.openSync(file, 'r');
  },
  tearDown: () => {
    fs.closeSync(fd);
    fs.rmSync(path.dirname(file), {recursive: true});
  },
};

/** Tests that SPECATTN_GUARD=1 and SPECATTN_POISON=1 reveal a kernel that writes too much or too little. */
import * as fs from 'node:fs';
import {expect} from 'chai';

import {loadAddon, type Addon, type NativeDevice} from '../../backend/addon.js';

const loaded = loadAddon();
const GUARD = 256;
const GUARD_VALUE = 0xa5;
const MARKER = Buffer.from('a buffer that is found again by its bytes');

/** Other bytes of the marker's length. */
const OTHER = Buffer.from(MARKER).fill('x');
/** Bytes of memory searched at a time, and the overlap of two neighbouring searches. */
const CHUNK = 1 << 24;
const OVERLAP = GUARD + MARKER.length;

/** Overwrites a byte of this process's memory, `offset` bytes after the start of the guarded buffer that holds the marker. */
function overwrite(device: NativeDevice, handle: number, offset: number): void {
  const file = fs.openSync('/proc/self/mem', 'r+');
  try {
    const at = find(file, device, handle);
    expect(at, "the buffer's address").to.be.greaterThan(0);
    fs.writeSync(file, Uint8Array.of(0), 0, 1, at + offset);
  } finally {
    fs.closeSync(file);
  }
}

/**
 * The address of the guarded buffer, or −1. Copies of the marker, such as those in `memory`, are told apart because they do not change
 * when the buffer is written.
 */
function find(file: number, device: NativeDevice, handle: number): number {
  const changes = (at: number) => {
    const bytes = Buffer.alloc(OTHER.length);
    device.write(handle, 0, OTHER);
    fs.readSync(file, bytes, 0, bytes.length, at);
    device.write(handle, 0, MARKER);
    return bytes.equals(OTHER);
  };
  const maps = fs.readFileSync('/proc/self/maps', 'utf8');
  const memory = Buffer.alloc(CHUNK);
  for (const [, begin, end] of maps.matchAll(/^([0-9a-f]+)-([0-9a-f]+) rw.*$/gm)) {
    const to = parseInt(end, 16);
    for (let from = parseInt(begin, 16); from < to; from += CHUNK - OVERLAP) {
      let read: Buffer;
      try {
        read = memory.subarray(0, fs.readSync(file, memory, 0, Math.min(CHUNK, to - from), from));
      } catch {
        break; // memory of a device, which cannot be read
      }
      for (let at = read.indexOf(MARKER); at >= 0; at = read.indexOf(MARKER, at + 1))
        if (at >= GUARD && read.subarray(at - GUARD, at).every((byte) => byte === GUARD_VALUE))
          if (changes(from + at)) return from + at;
    }
  }
  return -1;
}

/** Runs `body` with a new device, which reads `environment` when it is opened. */
function withDevice(
  environment: Record<string, string>,
  body: (device: NativeDevice, addon: Addon) => void,
): void {
  const before = {...process.env};
  Object.assign(process.env, environment);
  try {
    const {addon} = loaded as {addon: Addon};
    body(new addon.Device('cpu'), addon);
  } finally {
    for (const name of Object.keys(environment)) {
      if (before[name] === undefined) delete process.env[name];
      else process.env[name] = before[name];
    }
  }
}

/** Launches Fill on a buffer of `bytes` bools. */
function fill(device: NativeDevice, addon: Addon, handle: number, bytes: number, value: number): void {
  const kernel = addon.kernels.findIndex(({name}) => name === 'Fill');
  const bool = 4; // the value of this DType in cuda/core/tensor.h
  device.descriptor.set([kernel, 0, 1, 1, handle, bool, 1, bytes, value]);
  device.launch();
}

(process.platform === 'linux' && 'addon' in loaded ? describe : describe.skip)('a guarded buffer', () => {
  const OFFSETS: Record<string, [offset: number, error: string]> = {
    'right after its end': [
      MARKER.length,
      `the byte 1 after a buffer of ${MARKER.length} bytes was overwritten`,
    ],
    'at the end of the guard after it': [
      MARKER.length + GUARD - 1,
      `the byte ${GUARD} after a buffer of ${MARKER.length} bytes was overwritten`,
    ],
    'right before its beginning': [
      -1,
      `the byte 1 before a buffer of ${MARKER.length} bytes was overwritten`,
    ],
    'at the beginning of the guard before it': [
      -GUARD,
      `the byte ${GUARD} before a buffer of ${MARKER.length} bytes was overwritten`,
    ],
  };
  for (const [where, [offset, error]] of Object.entries(OFFSETS)) {
    it(`shows a byte that was written ${where}, at the next launch on it and when it is freed`, () => {
      withDevice({SPECATTN_GUARD: '1'}, (device, addon) => {
        const handle = device.allocate(MARKER.length);
        device.write(handle, 0, MARKER);
        overwrite(device, handle, offset);
        expect(() => fill(device, addon, handle, MARKER.length, 1)).to.throw(`[Fill] ${error}`);
        expect(() => device.free(handle)).to.throw(`[free] ${error}`);
        expect(device.memory().buffers).to.equal(0);
        // The memory can be allocated again, with new guards.
        const next = device.allocate(MARKER.length);
        fill(device, addon, next, MARKER.length, 1);
        device.free(next);
      });
    });
  }

  it('shows a byte that was overwritten between replays of a capture', () => {
    withDevice({SPECATTN_GUARD: '1'}, (device, addon) => {
      device.beginCapture();
      const handle = device.allocate(MARKER.length);
      fill(device, addon, handle, MARKER.length, 1);
      const capture = device.endCapture();
      device.replay(capture);
      device.write(handle, 0, MARKER);
      overwrite(device, handle, MARKER.length);
      expect(() => device.replay(capture)).to.throw(
        `[replay] the byte 1 after a buffer of ${MARKER.length} bytes was overwritten`,
      );
    });
  });

  it('may be written from its first byte to its last', () => {
    withDevice({SPECATTN_GUARD: '1'}, (device, addon) => {
      for (const bytes of [0, 1, 31, 33, 111, 989, 256, 4096]) {
        const handle = device.allocate(bytes);
        device.write(handle, 0, new Uint8Array(bytes).fill(7));
        fill(device, addon, handle, bytes, 1);
        device.free(handle);
      }
    });
  });
});

('addon' in loaded ? describe : describe.skip)('a poisoned buffer', () => {
  const read = (device: NativeDevice, handle: number) => {
    const values = new Float32Array(33);
    device.read(handle, 0, values);
    return [...values];
  };

  it('is full of NaN, within a capture and outside', () => {
    withDevice({SPECATTN_POISON: '1', SPECATTN_GUARD: '1'}, (device) => {
      expect(read(device, device.allocate(33 * 4)).every(Number.isNaN)).to.equal(true);
      device.beginCapture();
      const captured = device.allocate(33 * 4);
      device.endCapture();
      expect(read(device, captured).every(Number.isNaN)).to.equal(true);
    });
  });
});

import {expect} from 'chai';
import * as fc from 'fast-check';
import {spawnSync} from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';

import {Safetensors} from '../../models/hf/safetensors.js';
import {copyModel, testFolder} from './folder.js';
import {readGolden} from './golden.js';

const pack = (header: unknown, data: Uint8Array = new Uint8Array(0)): Buffer => {
  const json = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([length, json, data]);
};
const write = (bytes: Uint8Array, name = 'model.safetensors') =>
  fs.writeFileSync(path.join(testFolder(), name), bytes);
const writeIndex = (index: unknown) =>
  write(Buffer.from(JSON.stringify(index)), 'model.safetensors.index.json');

/** The bytes of a tensor. */
const read = (file: Safetensors, name: string) =>
  Buffer.concat(Array.from(file.chunks(name), (chunk) => Uint8Array.from(chunk)));

/** Files that this process has open in the test's folder. */
function openFiles(): string[] {
  return fs.readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      const target = fs.readlinkSync(`/proc/self/fd/${fd}`);
      return target.startsWith(fs.realpathSync(testFolder())) ? [target] : [];
    } catch {
      return []; // the descriptor that readdirSync used, which is closed by now
    }
  });
}

async function refusal(): Promise<string> {
  const error = await Safetensors.open(testFolder()).then(
    async (file) => void (await file.close()),
    (reason: Error) => reason,
  );
  if (process.platform === 'linux') expect(openFiles(), 'open files').to.deep.equal([]);
  return error?.message ?? 'accepted';
}

const f32 = (...offsets: number[]) => ({
  dtype: 'F32',
  shape: [(offsets[1] - offsets[0]) / 4],
  data_offsets: offsets,
});

describe('Safetensors', () => {
  it('reads each tensor of one file, whatever the order of its header', async () => {
    write(
      pack(
        {__metadata__: {format: 'pt'}, b: f32(4, 12), e: f32(4, 4), a: f32(0, 4)},
        Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12),
      ),
    );
    const file = await Safetensors.open(testFolder());
    try {
      expect([...file.entries.keys()].sort()).to.deep.equal(['a', 'b', 'e']);
      expect([...read(file, 'a')]).to.deep.equal([1, 2, 3, 4]);
      expect([...read(file, 'b')]).to.deep.equal([5, 6, 7, 8, 9, 10, 11, 12]);
      expect(read(file, 'e')).to.have.length(0);
      expect(() => read(file, 'c')).to.throw("[Safetensors] there is no tensor 'c'");
    } finally {
      await file.close();
    }
    await file.close(); // a second call does nothing
    expect(() => read(file, 'a')).to.throw('is closed');
  });

  it('reads a tensor that the header names twice at one place, as the reference implementation does', async () => {
    const a = JSON.stringify(f32(0, 4));
    write(pack(`{"a": ${a}, "\\u0061": ${a}}`, Uint8Array.of(1, 2, 3, 4)));
    const file = await Safetensors.open(testFolder());
    expect([...read(file, 'a')]).to.deep.equal([1, 2, 3, 4]);
    await file.close();
  });

  it('compares tensors by dtype, shape and every byte', async () => {
    const size = 2 ** 22 + 8; // longer than a chunk
    const data = new Uint8Array(4 * size).fill(7);
    data[3 * size - 1] = 8; // the last byte of c
    const bytes = (i: number, dtype: string, shape: number[]) => ({
      dtype,
      shape,
      data_offsets: [i * size, (i + 1) * size],
    });
    const [half, other] = [[size / 2], [2, size / 4]];
    const header = {a: bytes(0, 'F16', half), b: bytes(1, 'F16', half), c: bytes(2, 'F16', half)};
    write(pack({...header, d: bytes(3, 'BF16', half)}, data));
    let file = await Safetensors.open(testFolder());
    expect(['a', 'b', 'c', 'd'].map((name) => file.equal('a', name))).to.deep.equal([
      true,
      true,
      false,
      false,
    ]);
    await file.close();
    write(pack({...header, d: bytes(3, 'F16', other)}, data));
    file = await Safetensors.open(testFolder());
    expect(file.equal('a', 'd')).to.equal(false);
    await file.close();
  });

  it('reads shards', async () => {
    const dir = readGolden('yarn_sharded_f32').model;
    const file = await Safetensors.open(dir);
    try {
      expect(new Set([...file.entries.values()].map((entry) => path.basename(entry.file))).size).to.equal(3);
      expect(read(file, 'lm_head.weight')).to.have.length(99 * 32 * 4);
    } finally {
      await file.close();
    }
  });

  const refused: [string, () => Uint8Array, string | RegExp][] = [
    [
      'an empty file',
      () => new Uint8Array(0),
      "must begin with the 8 bytes of its header's length but has 0 bytes",
    ],
    [
      'a header longer than the file',
      () => pack({a: f32(0, 4)}).subarray(0, 20),
      'the header must have at most 12 bytes but claims 54',
    ],
    [
      'a length of 2^63',
      () => Buffer.from([0, 0, 0, 0, 0, 0, 0, 128]),
      'the header must have at most 0 bytes but claims 9223372036854775808',
    ],
    ['no JSON', () => pack('{"a": '), 'the header must be JSON'],
    [
      'no UTF-8',
      () => Buffer.concat([Buffer.from([2, 0, 0, 0, 0, 0, 0, 0]), Buffer.from([0xff, 0xfe])]),
      'the header must be JSON',
    ],
    ['a list', () => pack([]), 'the header must be a JSON object'],
    [
      'a tensor at two places',
      () =>
        pack(
          '{"a": {"dtype":"F32","shape":[1],"data_offsets":[0,4]}, "a": {"dtype":"F32","shape":[1],"data_offsets":[4,8]}}',
          new Uint8Array(8),
        ),
      /'a' must begin at byte \d+ but begins at \d+: it leaves a hole before it$/,
    ],
    [
      'a header nested without end',
      () => pack(`{"a": ${'['.repeat(100_000)}${']'.repeat(100_000)}}`),
      'the header must be nested 64 deep at most but is deeper at 69',
    ],
    [
      'a shape of a thousand sizes, with a short message',
      () => pack({a: {...f32(0, 4), shape: Array(1000).fill(7)}}, new Uint8Array(4)),
      /'a': data_offsets must be Infinity bytes apart for F32 a list of 1000 but is \[0,4\]$/,
    ],
    ['a tensor that is null', () => pack({a: null}), "'a': dtype must be one of BOOL"],
    [
      'an unknown dtype',
      () => pack({a: {...f32(0, 4), dtype: 'F12'}}, new Uint8Array(4)),
      /'a': dtype must be one of .*BF16.* but is "F12"/,
    ],
    [
      'an inherited dtype',
      () => pack({a: {...f32(0, 4), dtype: 'toString'}}, new Uint8Array(4)),
      'but is "toString"',
    ],
    [
      'a negative size',
      () => pack({a: {...f32(0, 4), shape: [-1, -1]}}, new Uint8Array(4)),
      "'a': shape must be a list of sizes but is [-1,-1]",
    ],
    [
      'a broken size',
      () => pack({a: {...f32(0, 4), shape: [1.5]}}, new Uint8Array(4)),
      "'a': shape must be a list of sizes but is [1.5]",
    ],
    [
      'one offset',
      () => pack({a: {dtype: 'F32', shape: [1], data_offsets: [0]}}, new Uint8Array(4)),
      "'a': data_offsets must be [begin, end] but is [0]",
    ],
    [
      'offsets in reverse',
      () => pack({a: {dtype: 'F32', shape: [1], data_offsets: [4, 0]}}, new Uint8Array(4)),
      "'a': data_offsets must be [begin, end] but is [4,0]",
    ],
    [
      'a tensor past the end',
      () => pack({a: f32(0, 8)}, new Uint8Array(4)),
      "'a': data_offsets must be within the file's 4 bytes of data but is [0,8]",
    ],
    [
      'a shape that contradicts its offsets',
      () => pack({a: {dtype: 'F32', shape: [2], data_offsets: [0, 4]}}, new Uint8Array(4)),
      "'a': data_offsets must be 8 bytes apart for F32 [2] but is [0,4]",
    ],
    [
      'a shape whose size overflows',
      () => pack({a: {dtype: 'F32', shape: [1e9, 1e9, 1e9], data_offsets: [0, 4]}}, new Uint8Array(4)),
      'bytes apart for F32',
    ],
    [
      'overlapping tensors',
      () => pack({a: f32(0, 8), b: f32(4, 12)}, new Uint8Array(12)),
      /'b' must begin at byte \d+ but begins at \d+: it overlaps/,
    ],
    [
      'a hole',
      () => pack({a: f32(0, 4), b: f32(8, 12)}, new Uint8Array(12)),
      /'b' must begin at byte \d+ but begins at \d+: it leaves a hole/,
    ],
    [
      'bytes after the last tensor',
      () => pack({a: f32(0, 4)}, new Uint8Array(9)),
      /must have \d+ bytes, as its header says, but has \d+/,
    ],
  ];
  for (const [what, bytes, message] of refused) {
    it(`refuses ${what}, naming the file`, async () => {
      write(bytes());
      const told = await refusal();
      expect(told).to.match(/model\.safetensors: /);
      if (typeof message === 'string') expect(told).to.include(message);
      else expect(told).to.match(message);
    });
  }

  const shard = () => pack({a: f32(0, 4)}, new Uint8Array(4));
  const indices: [string, unknown, string][] = [
    ['no map', {}, 'weight_map must be an object but is missing'],
    [
      'a parent folder',
      {weight_map: {a: '../shard.safetensors'}},
      'weight_map.a must be the name of a file in the index\'s folder but is "../shard.safetensors"',
    ],
    [
      'an absolute path',
      {weight_map: {a: '/etc/passwd'}},
      "weight_map.a must be the name of a file in the index's folder",
    ],
    [
      'a path with backslashes',
      {weight_map: {a: '..\\x'}},
      "weight_map.a must be the name of a file in the index's folder",
    ],
    [
      'the folder itself',
      {weight_map: {a: '.'}},
      "weight_map.a must be the name of a file in the index's folder",
    ],
    ['a number', {weight_map: {a: 7}}, 'weight_map.a must be a text but is 7'],
    [
      'a path that leads out of the folder half-way',
      {weight_map: {a: 'shard.safetensors/../../x'}},
      "weight_map.a must be the name of a file in the index's folder",
    ],
    [
      'a shard that is missing',
      {weight_map: {a: 'shard.safetensors', b: 'other.safetensors'}},
      'other.safetensors: cannot be opened: ENOENT',
    ],
    [
      'a tensor that its shard lacks',
      {weight_map: {a: 'shard.safetensors', b: 'shard.safetensors'}},
      "'b' must be in shard.safetensors but is not",
    ],
  ];
  for (const [what, index, message] of indices) {
    it(`refuses an index with ${what}`, async () => {
      write(shard(), 'shard.safetensors');
      writeIndex(index);
      expect(await refusal()).to.include(message);
    });
  }

  it('refuses a shard that is not a regular file, without waiting for a writer', async () => {
    writeIndex({weight_map: {a: 'shard.safetensors'}});
    fs.mkdirSync(path.join(testFolder(), 'shard.safetensors'));
    expect(await refusal()).to.match(/shard\.safetensors: must be a file but is none$/);
    fs.rmdirSync(path.join(testFolder(), 'shard.safetensors'));
    if (spawnSync('mkfifo', [path.join(testFolder(), 'shard.safetensors')]).status === 0)
      expect(await refusal()).to.match(/shard\.safetensors: must be a file but is none$/);
  });

  it('follows links, as in the cache of Hugging Face', async () => {
    write(shard(), 'blob');
    fs.symlinkSync('blob', path.join(testFolder(), 'model.safetensors'));
    expect(await refusal()).to.equal('accepted');
  });

  it('closes the shards before the one that is broken', async () => {
    const dir = copyModel(readGolden('yarn_sharded_f32').model);
    fs.truncateSync(path.join(dir, 'model-00003-of-00003.safetensors'), 100);
    expect(await refusal()).to.include(
      'model-00003-of-00003.safetensors: the header must have at most 92 bytes',
    );
  });

  it('refuses a spoiled header, or reads tensors within the file', async () => {
    const good = pack({a: f32(0, 4), b: f32(4, 12)}, new Uint8Array(12));
    await fc.assert(
      fc.asyncProperty(fc.nat(good.length - 1), fc.nat(255), async (at, value) => {
        const bytes = Uint8Array.from(good);
        bytes[at] = value;
        write(bytes);
        const file = await Safetensors.open(testFolder()).catch((error: Error) => error);
        if (file instanceof Error) {
          expect(file.message).to.include('model.safetensors: ');
          return;
        }
        try {
          for (const [name, {begin, bytes: length}] of file.entries) {
            expect(begin + length).to.be.at.most(good.length);
            expect(read(file, name)).to.have.length(length);
          }
        } finally {
          await file.close();
        }
      }),
      {numRuns: 300},
    );
  });
});

/** Fuzz targets: safetensors files, and indices of their shards. */
import * as fs from 'node:fs';
import * as fc from 'fast-check';

import {Safetensors} from '../../../models/hf/safetensors.js';
import {hostileJson, hostileText, namesField, spoiled, type HostileFile} from '../hostile.js';
import type {Target} from '../target.js';
import {CaseFolder} from './folder.js';

const DATA = 24;
const GOOD = {
  __metadata__: {format: 'pt'},
  a: {dtype: 'F32', shape: [2, 2], data_offsets: [0, 16]},
  b: {dtype: 'BF16', shape: [3], data_offsets: [16, 22]},
  c: {dtype: 'F16', shape: [1], data_offsets: [22, 24]},
  e: {dtype: 'F32', shape: [0, 5], data_offsets: [24, 24]},
};

/** A file of a header and `data` bytes. The field for the header's length holds `length`, which may be wrong. */
function pack(header: Uint8Array, data = DATA, length: bigint = BigInt(header.length)): Uint8Array {
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(length);
  return Buffer.concat([prefix, header, new Uint8Array(data)]);
}
const good = pack(Buffer.from(JSON.stringify(GOOD)));

const header = fc
  .tuple(
    hostileJson(GOOD),
    fc.oneof({weight: 5, arbitrary: fc.constant(DATA)}, {weight: 1, arbitrary: fc.nat(60)}),
    fc.option(fc.oneof(fc.bigInt({min: 0n, max: 2n ** 64n - 1n}), fc.bigInt({min: 0n, max: 400n})), {
      freq: 9,
    }),
  )
  .map(([file, data, length]) => pack(file.bytes, data, length ?? undefined));

/** Opens the weights in the folder and reads every tensor. */
async function readAll(folder: CaseFolder): Promise<void> {
  const file = await Safetensors.open(folder.path);
  try {
    for (const [name, entry] of file.entries) {
      let read = 0;
      for (const chunk of file.chunks(name)) read += chunk.length;
      const place = file.place(name);
      if (read !== entry.bytes || place.position + place.byteLength > fs.statSync(entry.file).size)
        throw new TypeError(`'${name}' has ${entry.bytes} bytes but ${read} were read`);
    }
  } finally {
    await file.close();
  }
}

const folder = new CaseFolder();

export const safetensors: Target<Uint8Array> = {
  name: 'safetensors',
  share: 20,
  input: fc.oneof(
    {weight: 4, arbitrary: header},
    {weight: 1, arbitrary: spoiled(good).map(({bytes}) => bytes)},
  ),
  run: (bytes) => {
    folder.write('model.safetensors', bytes);
    return readAll(folder);
  },
  names: (message) =>
    message.startsWith(`${folder.file('model.safetensors')}: `) &&
    /: (the header must |must be a safetensors file but is |must begin with the 8 bytes of its header's length |must have \d+ bytes|'[^]*' must begin at byte|'[^]*': (dtype|shape|data_offsets) must )/.test(
      message,
    ),
  tearDown: () => folder.remove(),
};

const INDEX = {
  metadata: {total_size: 48},
  weight_map: {a: 'one.safetensors', b: 'one.safetensors', c: 'two.safetensors'},
};
const shards = new CaseFolder();

/** Indices with a name that leads out of the folder. */
const leading = fc.constantFrom('..', '../', './', '/', '\\').chain((way) =>
  hostileText.map((text) => ({
    bytes: Buffer.from(JSON.stringify({weight_map: {a: `${way}${text}`, b: 'one.safetensors'}})),
    changed: ['weight_map.a'],
  })),
);

export const index: Target<HostileFile> = {
  name: 'shard index',
  share: 10,
  input: fc.oneof({weight: 3, arbitrary: hostileJson(INDEX)}, {weight: 1, arbitrary: leading}),
  setUp: () => {
    for (const name of ['one.safetensors', 'two.safetensors']) shards.write(name, good);
    shards.write('empty.safetensors', '');
    fs.mkdirSync(shards.file('folder.safetensors'));
  },
  run: async (file) => {
    shards.write('model.safetensors.index.json', file.bytes);
    await readAll(shards);
  },
  names: (message, file) =>
    namesField(message, shards.file('model.safetensors.index.json'), file) ||
    // The index is valid, but a file or tensor that it names is not there.
    /^: ('[^]*' must be in |weight_map\.[^]* must be )/.test(
      message.replace(shards.file('model.safetensors.index.json'), ''),
    ) ||
    (message.startsWith(`${shards.path}/`) &&
      /: (cannot be opened|must be a file|must begin with the 8 bytes)/.test(message)),
  tearDown: () => shards.remove(),
};

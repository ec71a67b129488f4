/** Tests of uploads for which native code reads the bytes of a tensor from a file. */
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';

import type {SpecAttnBackend} from '../../backend/index.js';
import type {FilePart} from '../../backend/types.js';
import {Llama} from '../../models/llama/llama.js';
import {onBackend} from '../backends.js';
import {expectSame} from '../compare.js';
import {PRETRAINED, linkModel, refusal, replaceFile} from '../decoding/models.js';

onBackend('specattn', 'upload from a file', () => {
  const backend = () => tf.backend() as SpecAttnBackend;
  const file = path.join(os.tmpdir(), `specattn-upload-${process.pid}`);
  /** number of floats: more than a device reads at once, and not a multiple of that */
  const SIZE = 5_000_003;
  const values = Float32Array.from({length: SIZE}, (_, i) => (i * 7919) % 65536);
  let fd = -1;
  const part = (from: number, size: number): FilePart => ({
    file,
    fd,
    position: 4 * from,
    byteLength: 4 * size,
  });
  const upload = (parts: (FilePart | ArrayBufferView)[], size: number) =>
    tf.engine().makeTensorFromTensorInfo(backend().upload(parts, 'float32', [size])) as tf.Tensor;

  before(() => {
    fs.writeFileSync(file, values);
    fd = fs.openSync(file, 'r');
  });
  after(() => {
    fs.closeSync(fd);
    fs.rmSync(file);
  });

  it('reads a whole file', () => {
    expectSame(upload([part(0, SIZE)], SIZE).dataSync(), values);
  });

  it('joins parts of a file and bytes from memory', () => {
    const parts = [part(3, 1_000_001), values.subarray(0, 5), part(0, 0), part(SIZE - 2, 2)];
    const expected = new Float32Array(1_000_008);
    expected.set(values.subarray(3, 1_000_004));
    expected.set(values.subarray(0, 5), 1_000_001);
    expected.set(values.subarray(SIZE - 2), 1_000_006);
    expectSame(upload(parts, expected.length).dataSync(), expected);
  });

  it('converts to another storage on the device', () => {
    const info = backend().upload([part(1, 99)], 'float32', [99], 'bfloat16');
    const stored = tf.engine().makeTensorFromTensorInfo(info) as tf.Tensor;
    expect(backend().storageOf(stored)).to.equal('bfloat16');
    const expected = backend().upload([values.subarray(1, 100)], 'float32', [99], 'bfloat16');
    expectSame(stored.dataSync(), (tf.engine().makeTensorFromTensorInfo(expected) as tf.Tensor).dataSync());
  });

  it('names what a file lacks, and keeps no memory', async () => {
    const refused = (parts: FilePart[], size: number) => refusal(async () => upload(parts, size));
    const end = 4 * SIZE;
    expect(await refused([part(10, SIZE)], SIZE)).to.equal(
      `${file}: must have ${end + 40} bytes but ends at ${end}`,
    );
    expect(await refused([part(SIZE + 5, 1)], 1)).to.equal(
      `${file}: must have ${end + 24} bytes but ends at ${end + 20}`,
    );
    expect(await refused([{...part(0, 4), fd: 987654}], 4)).to.equal(
      `${file}: cannot be read: Bad file descriptor`,
    );
    expect(await refused([part(0, 4)], 5)).to.equal('[upload] [5] of float32 takes 20 bytes but 16 came');
  });

  it('is refused while launches are recorded', async () => {
    const state = tf.tensor1d([1]);
    const message = await refusal(async () =>
      backend().capture([state], () => ({state: [upload([part(0, 1)], 1)], outputs: []})),
    );
    expect(message).to.equal(
      `${file}: [capture] data can't be written to the device while launches are recorded`,
    );
  });

  it('refuses ranges outside a buffer or a file', () => {
    const {device} = backend();
    const handle = device.allocate(8);
    expect(() => device.writeFromFile(handle, 4, fd, 0, 8)).to.throw(
      '[writeFromFile] 8 bytes at offset 4 do not fit a buffer of 8',
    );
    expect(() => device.writeFromFile(handle, 0, -1, 0, 8)).to.throw('[writeFromFile] expects');
    expect(() => device.writeFromFile(handle, 0, fd, 0.5, 4)).to.throw('[writeFromFile] expects');
    expect(() => device.writeFromFile(987654, 0, fd, 0, 4)).to.throw('no buffer has the handle 987654');
    device.free(handle);
  });

  it('reports a model file that is cut short while it is read', async () => {
    const dir = linkModel(path.join(PRETRAINED, 'draft'));
    const weights = path.join(dir, 'model.safetensors');
    const bytes = fs.readFileSync(weights);
    replaceFile(dir, 'model.safetensors', bytes);
    const message = await refusal(async () => {
      let steps = 0;
      const onProgress = () => {
        if (++steps === 3) fs.truncateSync(weights, bytes.length / 2);
      };
      (await Llama.load(dir, {onProgress})).dispose();
    });
    expect(message).to.match(/model\.safetensors: must have \d+ bytes but ends at \d+$/);
    expect(message).to.contain(`ends at ${bytes.length / 2}`);
  });
});

/** Files that stand where a model's file should be are refused by what they are, and links that lead nowhere by that. */
import {expect} from 'chai';
import * as fs from 'node:fs';
import * as path from 'node:path';
import {deflateRawSync, gzipSync} from 'node:zlib';

import {checkOptionalFiles, foreignKind, isThere} from '../../models/hf/foreign_file.js';
import {readJsonObject} from '../../models/hf/json_file.js';
import {Safetensors} from '../../models/hf/safetensors.js';
import {LlamaTokenizer} from '../../models/hf/tokenizer.js';
import {load} from '../../src/load.js';
import {linkModel, PRETRAINED, replaceFile} from '../decoding/models.js';
import {testFolder} from './folder.js';

const pointer = (size: number) =>
  Buffer.from(`version https://git-lfs.github.com/spec/v1\noid sha256:${'4d7a'.repeat(16)}\nsize ${size}\n`);
const OLD_POINTER = Buffer.from(
  `version https://hawser.github.com/spec/v1\noid sha256:${'4d7a'.repeat(16)}\nsize 7\n`,
);
const PULL = (size: number) =>
  `a Git LFS pointer: run \`git lfs pull\` where it was cloned, which puts the file of ${size} bytes in its place`;
const PAGE = 'a web page: its download failed; fetch the file again';

const refusal = (dir: string) =>
  Safetensors.open(dir).then(
    () => 'accepted',
    (error: Error) => error.message,
  );

describe("a file that is not the model's", () => {
  const zip = Buffer.concat([Buffer.from('PK\x03\x04', 'latin1'), deflateRawSync(Buffer.alloc(99))]);
  const kinds: [string, Uint8Array, string][] = [
    ['a Git LFS pointer', pointer(12345), PULL(12345)],
    ['an old Git LFS pointer', OLD_POINTER, PULL(7)],
    ['a web page', Buffer.from('\n<!DOCTYPE html>\n<html><title>404</title></html>'), PAGE],
    ['an answer in XML', Buffer.from('<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>'), PAGE],
    ['zeros', new Uint8Array(4096), 'full of zeros: its download was broken off; fetch the file again'],
    ['a GGUF file', Buffer.from('GGUF\x03\0\0\0\0\0\0\0\x01', 'latin1'), 'a GGUF file'],
    ['a zip archive', zip, 'a zip archive, as PyTorch writes weights: convert them to safetensors'],
    ['a gzip archive', gzipSync('{}'.repeat(99)), 'a gzip archive: unpack it first'],
    ['UTF-16', Buffer.from('\ufeff{"model": {}}', 'utf16le'), 'text in UTF-16: save it in UTF-8'],
  ];
  for (const [what, bytes, kind] of kinds) {
    it(`is refused as what it is: ${what}`, async () => {
      const weights = path.join(testFolder(), 'model.safetensors');
      fs.writeFileSync(weights, bytes);
      expect(await refusal(testFolder())).to.include(`${weights}: must be a safetensors file but is ${kind}`);
      for (const name of ['tokenizer.json', 'model.safetensors.index.json', 'config.json']) {
        const file = path.join(testFolder(), name);
        fs.writeFileSync(file, bytes);
        expect(() => readJsonObject(file)).to.throw(`${file}: must be JSON but is ${kind}`);
      }
    });
  }

  it('is refused among shards by the name of the shard', async () => {
    const shard = path.join(testFolder(), 'model-00001-of-00002.safetensors');
    fs.writeFileSync(shard, pointer(99));
    const index = {weight_map: {a: path.basename(shard)}};
    fs.writeFileSync(path.join(testFolder(), 'model.safetensors.index.json'), JSON.stringify(index));
    expect(await refusal(testFolder())).to.equal(`${shard}: must be a safetensors file but is ${PULL(99)}`);
  });

  it('is not seen in a safetensors file whose length begins with the bytes of another format', async () => {
    // A header of 0x8b1f bytes begins like a gzip archive, one of 0xfeff like UTF-16, one of 0x280 like a pickle.
    for (const length of [0x8b1f, 0xfeff, 0x0280]) {
      const json = JSON.stringify({a: {dtype: 'F32', shape: [1], data_offsets: [0, 4]}}).padEnd(length);
      const prefix = Buffer.alloc(8);
      prefix.writeBigUInt64LE(BigInt(length));
      const file = path.join(testFolder(), 'model.safetensors');
      fs.writeFileSync(file, Buffer.concat([prefix, Buffer.from(json), new Uint8Array(5)]));
      expect(await refusal(testFolder())).to.match(/must have \d+ bytes, as its header says, but has \d+$/);
    }
  });

  it('is not guessed', () => {
    for (const text of ['', '{"a": 1', 'version 1', '<|begin_of_text|>', 'GGU', '\0\0'])
      expect(foreignKind(Buffer.from(text)), text).to.equal(undefined);
  });

  it('is told of, where weights are there in another format', async () => {
    fs.writeFileSync(path.join(testFolder(), 'pytorch_model-00001-of-00002.bin'), zip);
    fs.writeFileSync(path.join(testFolder(), 'pytorch_model-00002-of-00002.bin'), zip);
    expect(await refusal(testFolder())).to.match(
      /but holds neither, only pytorch_model-00001-of-00002\.bin and 1 more: convert the weights to safetensors/,
    );
  });

  for (const name of [
    'chat_template.jinja',
    'tokenizer_config.json',
    'generation_config.json',
    'layer_map.json',
  ])
    it(`is refused in place of ${name}, which may be missing`, async () => {
      const verifier = linkModel(path.join(PRETRAINED, 'verifier'));
      replaceFile(verifier, name, pointer(50_000));
      const message = await load({verifier}).then(
        (lm) => (lm.dispose(), 'accepted'),
        (error: Error) => error.message,
      );
      expect(message).to.equal(
        `${path.join(verifier, name)}: must be a model's ${name} but is ${PULL(50_000)}`,
      );
    });
});

describe('a link that leads nowhere', () => {
  before(function () {
    if (process.platform === 'win32') this.skip();
  });
  const TARGET = '../../blobs/gone';
  const GONE = `is a link to ${TARGET}, which is not there`;
  const linkIn = (dir: string, name: string) => {
    fs.rmSync(path.join(dir, name), {force: true});
    fs.symlinkSync(TARGET, path.join(dir, name));
    return path.join(dir, name);
  };

  it('is not a file that is missing', () => {
    const file = linkIn(testFolder(), 'here');
    expect(() => isThere(file)).to.throw(`${file}: must be a file but ${GONE}`);
    expect(isThere(path.join(testFolder(), 'nothing'))).to.equal(false);
    expect(isThere(path.join(testFolder(), 'nothing', 'below'))).to.equal(false);
    expect(isThere(testFolder())).to.equal(true);
    fs.symlinkSync('loop', path.join(testFolder(), 'loop'));
    expect(() => isThere(path.join(testFolder(), 'loop'))).to.throw('is a link to loop, which is not there');
  });

  it('is refused as weights, as index and as shard', async () => {
    const weights = linkIn(testFolder(), 'model.safetensors');
    expect(await refusal(testFolder())).to.equal(`${weights}: must be a file but ${GONE}`);
    fs.rmSync(weights);
    const index = linkIn(testFolder(), 'model.safetensors.index.json');
    expect(await refusal(testFolder())).to.equal(`${index}: must be a file but ${GONE}`);
    fs.rmSync(index);
    fs.writeFileSync(index, JSON.stringify({weight_map: {a: 'shard.safetensors'}}));
    const shard = linkIn(testFolder(), 'shard.safetensors');
    expect(await refusal(testFolder())).to.equal(`${shard}: cannot be opened: it ${GONE}`);
  });

  it('is refused as a file of the model that must be there, and as one that may be missing', async () => {
    for (const name of ['config.json', 'tokenizer.json']) {
      const verifier = linkModel(path.join(PRETRAINED, 'verifier'));
      const file = linkIn(verifier, name);
      const message = await load({verifier}).catch((error: Error) => error.message);
      expect(message).to.equal(`${file}: cannot be read: it ${GONE}`);
    }
    expect(() => LlamaTokenizer.load(testFolder())).to.throw('ENOENT');
    for (const name of [
      'generation_config.json',
      'tokenizer_config.json',
      'special_tokens_map.json',
      'added_tokens.json',
      'chat_template.json',
      'chat_template.jinja',
      'layer_map.json',
    ]) {
      const verifier = linkModel(path.join(PRETRAINED, 'verifier'));
      const file = linkIn(verifier, name);
      const message = await load({verifier}).catch((error: Error) => error.message);
      expect(message).to.equal(`${file}: must be a file but ${GONE}`);
    }
    expect(() => checkOptionalFiles(testFolder())).not.to.throw();
  });
});

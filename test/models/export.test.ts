import * as tf from '@tensorflow/tfjs-core';
import {loadGraphModel} from '@tensorflow/tfjs-converter';
import {expect} from 'chai';
import * as fs from 'node:fs';
import * as path from 'node:path';

import {exportModel} from '../../models/llama/export.js';
import {fileSystem} from '../../models/file_system.js';
import {Llama} from '../../models/llama/llama.js';
import {forEachBackend} from '../backends.js';
import {expectSame} from '../compare.js';
import {testFolder} from './folder.js';
import {readGolden} from './golden.js';

forEachBackend('exportModel', () => {
  for (const name of [
    'yarn_sharded_f32',
    'biases_f32',
    'gqa_llama3_bf16',
    'tied_and_head_f16',
    'granite_f32',
    'qwen3_window_f32',
    'longrope_long_f32',
    'pretrained_draft',
  ]) {
    it(`writes a GraphModel with the same logits: ${name}`, async () => {
      const {model: dir, tokens} = readGolden(name);
      const out = path.join(testFolder(), 'exported');
      await exportModel(dir, out);
      const sizes = fs
        .readdirSync(out)
        .filter((file) => file.endsWith('.bin'))
        .map((file) => fs.statSync(path.join(out, file)).size);
      expect(Math.max(...sizes)).to.be.at.most(4 * 2 ** 20);

      const llama = await Llama.load(dir, {dtype: 'float32'});
      const model = await loadGraphModel(fileSystem(path.join(out, 'model.json')));
      try {
        const inputs = {tokens: tf.tensor1d(tokens, 'int32'), position: tf.tensor1d([0], 'int32')};
        const {logits} = llama.forward({...inputs, cache: llama.newCache(64), outputs: ['logits']});
        const caches = Object.fromEntries(
          llama.newCache(64).map((x, i) => [`${i % 2 ? 'v' : 'k'}_cache_${Math.floor(i / 2)}`, x]),
        );
        const again = model.execute({...inputs, ...caches}, ['logits', 'next_k_cache_0']) as tf.Tensor[];
        expectSame(again[0].dataSync(), logits!.dataSync());
        expect(again[1].shape).to.deep.equal(caches.k_cache_0.shape);
        expect(model.inputs.map(({name: input}) => input)).to.include.members(['tokens', 'position']);
      } finally {
        llama.dispose();
        model.dispose();
      }
    });
  }
});

describe('fileSystem', () => {
  it('refuses weight files outside the folder', async () => {
    const file = path.join(testFolder(), 'model.json');
    for (const name of ['../weights.bin', '/etc/passwd', 'a/b.bin', '..']) {
      fs.writeFileSync(
        file,
        JSON.stringify({modelTopology: {node: []}, weightsManifest: [{paths: [name], weights: []}]}),
      );
      const error = await fileSystem(file).load!().then(
        () => undefined,
        (reason: Error) => reason,
      );
      expect(error?.message)
        .to.include('must be names of files in its folder')
        .and.include(JSON.stringify(name));
    }
  });

  it('names a file that is not a model', async () => {
    const file = path.join(testFolder(), 'model.json');
    fs.writeFileSync(file, '{}');
    for (const [at, message] of [
      [file, 'must have modelTopology and weightsManifest'],
      [path.join(testFolder(), 'nowhere'), 'cannot be read'],
    ]) {
      const error = await fileSystem(at).load!().then(
        () => undefined,
        (reason: Error) => reason,
      );
      expect(error?.message).to.include(message);
    }
  });
});

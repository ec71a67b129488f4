/** Models of TensorFlow.js's layers, saved in folders and loaded again. */
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs'; // registers the gradients and the methods of tensors that layers use
import * as layers from '@tensorflow/tfjs-layers';
import {expect} from 'chai';
import * as fs from 'node:fs';
import * as path from 'node:path';

import {fileSystem} from '../../models/file_system.js';
import {forEachBackend} from '../backends.js';
import {expectSame} from '../compare.js';
import {testFolder} from './folder.js';

function smallModel(): layers.Sequential {
  const model = layers.sequential({
    layers: [
      layers.layers.conv2d({inputShape: [8, 8, 1], filters: 3, kernelSize: 3, activation: 'relu'}),
      layers.layers.maxPooling2d({poolSize: 2}),
      layers.layers.batchNormalization(),
      layers.layers.flatten(),
      layers.layers.dense({units: 4, activation: 'softmax'}),
    ],
  });
  model.compile({optimizer: 'adam', loss: 'categoricalCrossentropy'});
  return model;
}

async function failure(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'nothing was thrown',
    (error: Error) => error.message,
  );
}

forEachBackend('a layers model in a folder', () => {
  const images = () => tf.randomNormal([6, 8, 8, 1], 0, 1, 'float32', 3);
  const labels = () => tf.cast(tf.oneHot(tf.tensor1d([0, 1, 2, 3, 0, 1], 'int32'), 4), 'float32');
  const outputs = (model: layers.LayersModel) =>
    tf.tidy(() => (model.predict(images()) as tf.Tensor).dataSync());
  const train = async (model: layers.LayersModel) => {
    const [x, y] = [images(), labels()];
    await model.fit(x, y, {epochs: 2, batchSize: 3, shuffle: false, verbose: 0});
    tf.dispose([x, y]);
  };

  it('has the same outputs when it is loaded, and trains on as it would have', async () => {
    const model = smallModel();
    await train(model);
    const folder = path.join(testFolder(), 'a', 'trained');
    const {modelArtifactsInfo} = await model.save(fileSystem(folder), {includeOptimizer: true});
    expect(fs.readdirSync(folder).sort()).to.deep.equal(['model.json', 'weights.bin']);
    expect(modelArtifactsInfo.weightDataBytes).to.equal(fs.statSync(path.join(folder, 'weights.bin')).size);

    const again = await layers.loadLayersModel(fileSystem(folder));
    expect(outputs(again)).to.deep.equal(outputs(model));
    await train(model);
    await train(again);
    expectSame(outputs(again), outputs(model));
    model.dispose();
    again.optimizer.dispose(); // a loaded model does not own its optimizer
    again.dispose();
  });

  it('keeps what the user said about it, and stands beside another in one folder', async () => {
    const folder = testFolder();
    const [first, second] = [smallModel(), smallModel()];
    first.setUserDefinedMetadata({classes: ['a', 'b']});
    await first.save(fileSystem(path.join(folder, 'first.json')));
    await second.save(fileSystem(path.join(folder, 'second.json')));
    expect(fs.readdirSync(folder).sort()).to.include.members(['first.weights.bin', 'second.weights.bin']);
    const again = await layers.loadLayersModel(fileSystem(path.join(folder, 'first.json')));
    expect(outputs(again)).to.deep.equal(outputs(first));
    expect(again.getUserDefinedMetadata()).to.deep.equal({classes: ['a', 'b']});
    [first, second, again].forEach((model) => model.dispose());
  });
});

describe('fileSystem that saves', () => {
  it('writes weights that come in parts', async () => {
    const folder = testFolder();
    const weightData = [new Float32Array([1, 2]).buffer, new Float32Array([3]).buffer];
    const weightSpecs = [{name: 'w', shape: [3], dtype: 'float32' as const}];
    await fileSystem(folder).save!({modelTopology: {}, weightSpecs, weightData});
    const loaded = await fileSystem(folder).load!();
    const bytes = tf.io.CompositeArrayBuffer.join(loaded.weightData as ArrayBuffer[]);
    expect([...new Float32Array(bytes)]).to.deep.equal([1, 2, 3]);
    expect(loaded.weightSpecs).to.deep.equal(weightSpecs);
  });

  it('refuses a model that is no JSON', async () => {
    const handler = fileSystem(testFolder());
    expect(await failure(handler.save!({modelTopology: new ArrayBuffer(8)}))).to.include(
      'model.json: modelTopology must be an object but is binary',
    );
    expect(await failure(handler.save!({}))).to.include('modelTopology must be an object but is missing');
  });

  it('names a folder that cannot be made', async () => {
    const file = path.join(testFolder(), 'file');
    fs.writeFileSync(file, '');
    expect(await failure(fileSystem(path.join(file, 'below')).save!({modelTopology: {}}))).to.include(file);
  });
});

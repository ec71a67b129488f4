import * as path from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';

import {load, type LoadProgress} from '../../src/load.js';
import {forEachBackend, onBackend} from '../backends.js';
import {PRETRAINED, memory, refusal, tinyLayerMap, tinyPair, withModel} from './models.js';

forEachBackend('load', (backend) => {
  it('reports its progress, the verifier first', async () => {
    const progress: LoadProgress[] = [];
    await withModel({...tinyPair(), onProgress: (step) => progress.push({...step})}, async () => {});
    const order = progress.map(({what}) => what);
    expect([...new Set(order)]).to.deep.equal(['verifier', 'draft']);
    expect(order).to.deep.equal([...order].sort().reverse());
    for (const role of ['verifier', 'draft']) {
      const steps = progress.filter(({what}) => what === role);
      const [{total}] = steps;
      steps.forEach(({loaded}, i) => expect(loaded).to.be.within(steps[i - 1]?.loaded ?? 1, total));
      expect(steps.at(-1)).to.deep.equal({what: role, loaded: total, total});
    }
  });

  it('takes a layer map as a file, as a value, and from beside the verifier', async () => {
    const map = tinyLayerMap(tinyPair());
    const file = path.join(tinyPair().verifier, 'layer_map.json');
    for (const layerMap of [undefined, file, map])
      await withModel({...tinyPair(), layerMap}, async (lm) => {
        expect(lm.layerMap).to.deep.equal(map);
      });
  });

  it('refuses a layer map without a draft', async () => {
    const {verifier} = tinyPair();
    const map = path.join(verifier, 'layer_map.json');
    for (const draft of [undefined, null])
      expect(await refusal(() => load({verifier, draft, layerMap: map}))).to.equal(
        '[load] layerMap must be left out where there is no draft: it is of a pair',
      );
  });

  it('keeps the current backend, or takes the one asked for', async () => {
    expect(tf.getBackend()).to.equal(backend);
    const before = memory();
    const lm = await load(tinyPair());
    expect(tf.getBackend()).to.equal(backend);
    const words = {
      cpu: /^tfjs backend 'cpu', composed ops$/,
      specattn: /^(cpu|cuda) \(.+\)$/,
      tensorflow: /^tfjs backend 'tensorflow', native ops in TensorFlow \d+\.\d+\.\d+, [CG]PU$/,
    };
    expect(lm.device).to.match(words[backend]);
    lm.dispose();
    expect(memory()).to.deep.equal(before);
  });
});

onBackend('specattn', 'the embedded pair', () => {
  it('is what load() gives', () =>
    withModel({}, async (lm) => {
      expect(lm.verifier.config.numHiddenLayers).to.equal(8);
      expect(lm.draft?.config.numHiddenLayers).to.equal(4);
      expect(lm.layerMap?.layers).to.have.lengthOf(8);
      expect(lm.contextLength).to.equal(4096);
    }));

  it('has no draft if draft is null or another verifier is given', async () => {
    await withModel({draft: null}, async (lm) => {
      expect(lm.draft).to.equal(undefined);
      expect((await lm.generate('It was', {maxNewTokens: 4})).stats.drafted).to.equal(0);
    });
    await withModel({verifier: path.join(PRETRAINED, 'verifier')}, async (lm) => {
      expect(lm.draft).to.equal(undefined);
    });
  });

  it('is stored as dtype says, and writes the same text but for rounding', async () => {
    const bytes: Record<string, number> = {};
    for (const dtype of ['auto', 'bfloat16', 'float16', 'float32'] as const) {
      await withModel({dtype, draft: null, contextLength: 64}, async (lm) => {
        bytes[dtype] = lm.verifier.numBytes;
        const {text} = await lm.generate('The captain looked at the sea and', {maxNewTokens: 4});
        expect(text).to.match(/^ the/);
      });
    }
    expect(bytes.auto).to.equal(bytes.bfloat16);
    expect(bytes.float16).to.equal(bytes.bfloat16);
    expect(bytes.float32 / bytes.bfloat16).to.be.within(1.9, 2);
  });
});

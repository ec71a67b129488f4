/** Calls of `generate` that overlap, and streams that nobody reads to their end. */
import {setImmediate} from 'node:timers/promises';
import {setFlagsFromString} from 'node:v8';
import {runInNewContext} from 'node:vm';
import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';

import type {GenerateResult} from '../../src/decoding/generate.js';
import {disposeAll, generate, load} from '../../src/load.js';
import {onBackend} from '../backends.js';
import {memory, refusal, tinyPair, withModel} from './models.js';

const OPTIONS = {maxNewTokens: 8, gamma: 2, seed: 1} as const;

onBackend('specattn', 'generate, called twice at once', () => {
  it('writes each answer on the backend that it asks for', async () => {
    const before = memory();
    const on = (backend: string) => generate('It was', {...tinyPair(), ...OPTIONS, backend});
    const alone: GenerateResult[] = [];
    for (const backend of ['specattn', 'cpu']) alone.push(await on(backend));
    await disposeAll();
    const together = await Promise.all(['specattn', 'cpu', 'specattn', 'cpu'].map(on));
    await disposeAll();
    together.forEach(({tokens, stats}, i) => {
      expect(tokens).to.deep.equal(alone[i % 2].tokens);
      expect(stats.device).to.equal(alone[i % 2].stats.device);
    });
    await tf.setBackend('specattn');
    expect(memory()).to.deep.equal(before);
  });

  it('does not break a load that is running', async () => {
    const loading = load({...tinyPair(), backend: 'specattn'});
    const other = generate('It was', {...tinyPair(), ...OPTIONS, backend: 'cpu'});
    const [lm, answer] = await Promise.all([loading, other]);
    expect(answer.stats.device).to.include("'cpu'");
    await disposeAll();
    await tf.setBackend('specattn');
    expect((await lm.generate('It was', OPTIONS)).tokens).to.have.lengthOf(8);
    lm.dispose();
  });

  it('goes on after a call that is refused', async () => {
    const refused = refusal(() =>
      generate('It was', {...tinyPair(), ...OPTIONS, verifier: '/no/such/folder'}),
    );
    expect(await refused).to.include('there is no folder');
    const {tokens} = await generate('It was', {...tinyPair(), ...OPTIONS});
    expect(tokens).to.have.lengthOf(8);
    await disposeAll();
  });
});

onBackend('specattn', 'a stream that was dropped', () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;

  /** Reads a stream's first piece and lets go of the stream. */
  const drop = async (lm: Awaited<ReturnType<typeof load>>) => {
    const stream = lm.stream('It was', {...OPTIONS, maxNewTokens: 40});
    expect((await stream.next()).value).to.be.a('string');
  };
  /** Collects garbage until `done`, for a while. */
  const collected = async (done: () => boolean) => {
    for (let i = 0; i < 200 && !done(); i++) {
      collect();
      await setImmediate();
    }
    return done();
  };

  it('gives its sequence back when it is collected', () =>
    withModel(tinyPair(), async (lm) => {
      await drop(lm);
      expect(lm['busy'].size).to.equal(1);
      expect(await collected(() => lm['busy'].size === 0)).to.equal(true);
    }));

  it('does not hold a model that is disposed of', async () => {
    const before = memory();
    const lm = await load(tinyPair());
    await drop(lm);
    lm.dispose();
    expect(memory().numTensors, 'while the stream is there').to.be.greaterThan(before.numTensors);
    expect(await collected(() => memory().numTensors === before.numTensors)).to.equal(true);
    expect(memory()).to.deep.equal(before);
  });
});

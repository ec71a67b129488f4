/** Tests that a model's memory does not grow with the text that it writes, and that it is given back. */
import {spawnSync} from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';

import {packageRoot} from '../../backend/addon.js';
import type {LanguageModel} from '../../src/language_model.js';
import {disposeAll, generate, load} from '../../src/load.js';
import type {GenerateOptions} from '../../src/options.js';
import {forEachBackend, onBackend} from '../backends.js';
import {linkModel, memory, refusal, replaceFile, tinyPair, withModel} from './models.js';

const WAYS: Record<string, GenerateOptions> = {
  plain: {draft: false},
  dense: {verification: 'dense', gamma: 3},
  sparse: {verification: 'sparse', gamma: 3, denseLayers: 0, p: 0.8},
  'sparse by head': {verification: 'sparse', gamma: 3, granularity: 'head', union: 'row'},
  refresh: {verification: 'refresh', refreshEvery: 2, gamma: 3},
  'sampled sparse': {
    verification: 'sparse',
    gamma: 2,
    temperature: 0.7,
    topK: 50,
    topP: 0.9,
    minP: 0.01,
    seed: 3,
  },
};

/** Writes `rounds` pieces of text and returns the memory at each of them, while the sequence is in use. */
async function memoryOf(lm: LanguageModel, rounds: number, options: GenerateOptions) {
  const seen: ReturnType<typeof memory>[] = [];
  const signal = new AbortController();
  const onText = () => {
    seen.push(memory());
    if (seen.length >= rounds) signal.abort();
  };
  await lm.generate('Once upon a time', {maxNewTokens: 5000, ...options, onText, signal: signal.signal});
  return seen;
}

/** The backends with native kernels, on which the embedded pair is fast enough for these tests. */
const nativeBackends = ['specattn', 'tensorflow'] as const;

for (const backend of nativeBackends)
  onBackend(backend, 'memory of the embedded pair', () => {
    for (const [what, options] of Object.entries(WAYS)) {
      it(`is the same after 50 rounds as after 5: ${what}`, () =>
        withModel({}, async (lm) => {
          const run = async (maxNewTokens: number) => {
            const {stats} = await lm.generate('The captain looked at the sea and', {
              ...options,
              maxNewTokens,
            });
            return {rounds: stats.rounds, memory: memory()};
          };
          const few = await run(20);
          const many = await run(220);
          expect(few.rounds).to.be.at.least(5);
          expect(many.rounds).to.be.at.least(50);
          expect(many.memory).to.deep.equal(few.memory);

          const seen = await memoryOf(lm, 50, options);
          expect(seen.length).to.be.at.least(50);
          for (const one of seen) expect(one).to.deep.equal(seen[0]);
        }));
    }

    it('is the same after the tenth answer as after the first, whatever their options', () =>
      withModel({}, async (lm) => {
        const write = async () => {
          for (const options of [...Object.values(WAYS), {}])
            await lm.generate('It was', {...options, maxNewTokens: 12});
          return memory();
        };
        const first = await write();
        for (let i = 0; i < 3; i++) expect(await write()).to.deep.equal(first);
      }));
  });

forEachBackend('memory of a tiny pair', (backend) => {
  for (const [what, options] of Object.entries(WAYS)) {
    it(`does not grow from round to round: ${what}`, () =>
      withModel(tinyPair(), async (lm) => {
        const run = async (maxNewTokens: number) => {
          await lm.generate('Once upon a time', {...options, maxNewTokens});
          return memory();
        };
        const few = await run(6);
        expect(await run(backend === 'cpu' ? 18 : 60)).to.deep.equal(few);
      }));
  }

  it('is given back after an error and after an abort', () =>
    withModel(tinyPair(), async (lm) => {
      const prompt = 'Once upon a time';
      const options = {maxNewTokens: 12, gamma: 2};
      await lm.generate(prompt, options);
      const before = memory();
      const onText = () => {
        throw new Error('the listener failed');
      };
      expect(await refusal(() => lm.generate(prompt, {...options, onText}))).to.equal('the listener failed');
      expect(memory(), 'after the error').to.deep.equal(before);

      const {signal, abort} = controller();
      await lm.generate(prompt, {...options, onText: abort, signal});
      expect(memory(), 'after the abort').to.deep.equal(before);
    }));

  it('holds one more sequence for each overlapping answer, which is then given back', () =>
    withModel(tinyPair(), async (lm) => {
      const answer = (prompt: string, options: GenerateOptions = {}) =>
        lm.generate(prompt, {maxNewTokens: 10, gamma: 2, denseLayers: 0, p: 0.6, ...options});
      const prompts = ['Once upon a time', 'It was', ''];
      const alone: number[][] = [];
      for (const prompt of prompts) alone.push((await answer(prompt)).tokens);
      const before = memory();

      let most = 0;
      const onText = () => (most = Math.max(most, memory().numTensors));
      const together = await Promise.all(prompts.map((prompt) => answer(prompt, {onText})));
      expect(together.map(({tokens}) => tokens)).to.deep.equal(alone);
      expect(most, 'tensors of three sequences').to.be.greaterThan(before.numTensors);
      // The model keeps one of the three sequences, which may hold fewer tensors than the sequence that it kept before.
      expect(memory().numTensors).to.be.at.most(before.numTensors);
      expect(memory().numBytesInDevice ?? 0).to.be.at.most(before.numBytesInDevice ?? 0);
    }));

  it('is given back when the model is disposed of during an answer, which ends first', async () => {
    const before = memory();
    const lm = await load({...tinyPair(), backend});
    const options = {maxNewTokens: 10, gamma: 2};
    const {tokens} = await lm.generate('It was', options);
    let held = 0;
    const whole = await lm.generate('It was', {
      ...options,
      onText: () => {
        lm.dispose();
        held = memory().numTensors;
      },
    });
    expect(whole.tokens).to.deep.equal(tokens);
    expect(held, 'tensors while it writes').to.be.greaterThan(before.numTensors);
    expect(memory()).to.deep.equal(before);
    lm.dispose(); // a second call does nothing
    expect(await refusal(() => lm.generate('It was'))).to.equal('[generate] the model was disposed of');
    expect(await refusal(() => lm.stream('It was').next())).to.equal('[generate] the model was disposed of');
  });

  it('is held by a stream that stands still, and given back when the stream is left', async () => {
    const before = memory();
    const lm = await load({...tinyPair(), backend});
    const stream = lm.stream('It was', {maxNewTokens: 10, gamma: 2});
    expect((await stream.next()).value).to.be.a('string');
    lm.dispose();
    expect(memory().numTensors, 'tensors of the model').to.be.greaterThan(before.numTensors);
    await stream.return(undefined as never);
    expect(memory()).to.deep.equal(before);
  });

  it('is given back by disposeAll, when one call loaded the models', async () => {
    const before = memory();
    const options = {...tinyPair(), backend, maxNewTokens: 6, gamma: 2, seed: 1};
    const first = await generate('It was', options);
    const loaded = memory();
    const second = await generate('It was', {...options, maxNewTokens: 4});
    expect(second.tokens).to.deep.equal(first.tokens.slice(0, 4));
    expect(memory(), 'loaded once').to.deep.equal(loaded);
    const plain = await generate('It was', {
      ...tinyPair(),
      backend,
      maxNewTokens: 4,
      gamma: 2,
      draft: tinyPair().draft,
    });
    expect(plain.tokens).to.deep.equal(second.tokens);
    await disposeAll();
    expect(memory()).to.deep.equal(before);
  });
});

function controller(): {signal: AbortSignal; abort: () => void} {
  const made = new AbortController();
  return {signal: made.signal, abort: () => made.abort()};
}

onBackend('specattn', 'a model on another backend than its own', () => {
  const REFUSAL = "[generate] the backend must be 'specattn', which the model was loaded on, but is 'cpu'";
  const options = {maxNewTokens: 6, gamma: 2, verification: 'dense'} as const;

  it('is refused, and works again on its own', () =>
    withModel(tinyPair(), async (lm) => {
      const {tokens} = await lm.generate('It was', options);
      await tf.setBackend('cpu');
      expect(await refusal(() => lm.generate('It was', options))).to.equal(REFUSAL);
      await tf.setBackend('specattn');
      // The backend may also change in the middle of an answer.
      const onText = () => void tf.setBackend('cpu');
      const message = await lm
        .generate('It was', {...options, onText})
        .catch((error: Error) => error.message);
      expect(message).to.equal(REFUSAL);
      await tf.setBackend('specattn');
      expect((await lm.generate('It was', options)).tokens).to.deep.equal(tokens);
    }));

  it('is refused before a refresh if onText has changed the backend', () =>
    withModel(tinyPair(), async (lm) => {
      const refresh = {...options, verification: 'refresh', refreshEvery: 1, denseLayers: 0} as const;
      const {tokens} = await lm.generate('It was', refresh);
      const onText = () => void tf.setBackend('cpu');
      const answer = lm.generate('It was', {...refresh, onText});
      expect(await answer.catch((error: Error) => error.message)).to.equal(REFUSAL);
      await tf.setBackend('specattn');
      expect((await lm.generate('It was', refresh)).tokens).to.deep.equal(tokens);
    }));

  it('is refused if its Llama is used directly, and keeps its weights', () =>
    withModel(tinyPair(), async (lm) => {
      const {tokens} = await lm.generate('It was', options);
      const held = memory();
      const cache = lm.verifier.newCache(8);
      await tf.setBackend('cpu');
      const message = REFUSAL.replace('generate', 'Llama');
      expect(() => lm.verifier.newCache(8)).to.throw(message);
      const [first, position] = [tf.tensor1d([1], 'int32'), tf.tensor1d([0], 'int32')];
      const input = {tokens: first, position, cache, outputs: []};
      expect(() => lm.verifier.forward(input)).to.throw(message);
      tf.dispose([first, position, ...cache]);
      await tf.setBackend('specattn');
      expect(memory()).to.deep.equal(held);
      expect((await lm.generate('It was', options)).tokens).to.deep.equal(tokens);
    }));

  it('is refused while it is loaded, and leaves no memory allocated', async () => {
    const pair = tinyPair();
    const before = memory();
    const onProgress = () => void tf.setBackend('cpu');
    const message = await load({...pair, onProgress}).catch((error: Error) => error.message);
    expect(message).to.match(
      /^\[Llama\] the backend must stay 'specattn' while .* is loaded, but is 'cpu' now$/,
    );
    await tf.setBackend('specattn');
    expect(memory()).to.deep.equal(before);
  });

  it('is loaded after another call has loaded its model', async () => {
    const pair = tinyPair();
    const before = memory();
    const [first, second] = await Promise.all([
      load({...pair, backend: 'specattn'}),
      load({...pair, backend: 'cpu'}),
    ]);
    expect([first.verifier.backend, first.draft!.backend]).to.deep.equal(['specattn', 'specattn']);
    expect([second.verifier.backend, second.draft!.backend]).to.deep.equal(['cpu', 'cpu']);
    second.dispose();
    await tf.setBackend('specattn');
    expect((await first.generate('It was', options)).tokens).to.have.lengthOf(6);
    first.dispose();
    expect(memory()).to.deep.equal(before);
  });

  afterEach(() => tf.setBackend('specattn'));
});

onBackend('specattn', 'caches that no memory holds', () => {
  it('are refused with their size, and leave the model as it was', async () => {
    const verifier = linkModel(tinyPair().verifier);
    const config = JSON.parse(fs.readFileSync(path.join(verifier, 'config.json'), 'utf8')) as object;
    replaceFile(verifier, 'config.json', JSON.stringify({...config, max_position_embeddings: 2 ** 31 - 1}));
    await withModel({verifier}, async (lm) => {
      const message = await refusal(() => lm.generate('It was'));
      expect(message).to.match(
        /^\[generate\] contextLength must be one whose caches fit in memory but is 2147483647, which takes \d+ bytes: load the models with a smaller contextLength, which the prompt and maxNewTokens fit in \(\[allocate\] 137438953408 bytes asked for on device \w+: \d+ bytes are free, \d+ are held in \d+ tensors\)$/,
      );
      const {numHiddenLayers} = lm.verifier.config;
      expect(message).to.include(`takes ${2 * numHiddenLayers * 137438953408} bytes`);
    });
    await withModel({verifier, contextLength: 32}, async (lm) => {
      expect((await lm.generate('It was', {maxNewTokens: 3})).tokens).to.have.lengthOf(3);
    });
  });
});

onBackend('specattn', 'caches that a limit of the process forbids', () => {
  before(function () {
    const limits = process.platform === 'linux' && spawnSync('prlimit', ['--version']).status === 0;
    if (!limits || process.env.SPECATTN_DEVICE === 'cuda') this.skip();
  });

  it('are refused with what the limit leaves, which is less than what they take', () => {
    // 2^22 positions take 2^28 bytes in each of the caches; the process may grow by 3 * 2^26 bytes.
    const verifier = linkModel(tinyPair().verifier);
    const config = JSON.parse(fs.readFileSync(path.join(verifier, 'config.json'), 'utf8')) as object;
    replaceFile(verifier, 'config.json', JSON.stringify({...config, max_position_embeddings: 2 ** 22}));
    const program = `
      const {execFileSync} = require('node:child_process');
      const fs = require('node:fs');
      const {load} = require(${JSON.stringify(path.join(packageRoot, 'dist', 'src', 'index.js'))});
      load({verifier: ${JSON.stringify(verifier)}}).then(async (lm) => {
        const [pages] = fs.readFileSync('/proc/self/statm', 'utf8').split(' ');
        execFileSync('prlimit', ['--pid', String(process.pid), '--as=' + (pages * 4096 + 3 * 2 ** 26)]);
        console.log(await lm.generate('It was').then(() => 'accepted', (error) => error.message));
      });`;
    const {stdout, stderr} = spawnSync(process.execPath, ['-e', program], {
      encoding: 'utf8',
      env: {...process.env, SPECATTN_DEVICE: 'cpu', SPECATTN_THREADS: '1'},
    });
    const [, length, asked, free] =
      /contextLength must be .* but is (\d+), .*\[allocate\] (\d+) bytes asked for on device cpu: (\d+) bytes are free/.exec(
        stdout,
      ) ?? [stdout, stderr];
    expect(Number(length), stdout + stderr).to.equal(2 ** 22);
    expect(Number(asked)).to.equal(2 ** 28);
    expect(Number(free)).to.be.within(0, 3 * 2 ** 26);
  }).timeout(60_000);
});

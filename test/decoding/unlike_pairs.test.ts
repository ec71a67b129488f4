/** Draft and verifier that differ in more than size: in rows of the vocabulary, in added tokens, in the context they were made for. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';

import {readConfig} from '../../models/hf/config.js';
import type {LayerMap} from '../../models/layer_map.js';
import {evaluate} from '../../src/evaluate/index.js';
import {WindowScores} from '../../src/evaluate/scores.js';
import {calibrate} from '../../src/calibration/calibrate.js';
import type {LanguageModel} from '../../src/language_model.js';
import {resolveOptions, type GenerateOptions} from '../../src/options.js';
import {forEachBackend, onBackend} from '../backends.js';
import {letterPair, type Letters} from '../exactness/letters.js';
import {distribution} from '../reference.js';
import {chiSquare, chiSquareLimit, pooled} from '../statistics.js';
import {Decoder} from './decoder.js';
import {withModel} from './models.js';

const BASE = {letters: 6, distance: 0.5};
/** What differs, as options of the verifier and of the draft, and how many of the first tokens are shared. */
const VOCABULARIES: Record<string, {verifier: Partial<Letters>; draft: Partial<Letters>; shared: number}> = {
  'a verifier with more rows': {verifier: {rows: 9}, draft: {rows: 6}, shared: 6},
  'a draft with more rows': {verifier: {rows: 6}, draft: {rows: 8}, shared: 6},
  'a verifier with more tokens': {
    verifier: {letters: 8},
    draft: {letters: 6, rows: 6},
    shared: 6,
  },
  'a verifier with more tokens, in as many rows': {
    verifier: {letters: 8, rows: 9},
    draft: {letters: 6, rows: 9},
    shared: 6,
  },
  'a draft with more tokens': {verifier: {letters: 6}, draft: {letters: 8, rows: 9}, shared: 6},
};

/** The tokens of answers to some prompts, with everything that a pair can be asked for. */
async function answers(lm: LanguageModel, options: GenerateOptions): Promise<number[][]> {
  const written: number[][] = [];
  for (const prompt of ['a', 'fade', 'bad']) {
    const {tokens} = await lm.generate(prompt, {maxNewTokens: 16, seed: 5, ...options});
    written.push(tokens);
  }
  return written;
}

for (const [what, {verifier, draft, shared}] of Object.entries(VOCABULARIES)) {
  const pair = () => letterPair({...BASE, ...verifier}, draft);

  forEachBackend(`A pair of ${what}`, (backend) => {
    it("writes the verifier's tokens, those beyond the draft's among them", () =>
      withModel(pair(), async (lm) => {
        const plain = await answers(lm, {draft: false});
        for (const gamma of backend === 'cpu' ? [4] : ([1, 4, 'adaptive'] as const)) {
          expect(await answers(lm, {verification: 'dense', gamma})).to.deep.equal(plain, `gamma ${gamma}`);
          const kept = await answers(lm, {p: 1, gamma, denseLayers: 0});
          expect(kept).to.deep.equal(plain, `sparse, gamma ${gamma}`);
        }
        if (lm.verifier.config.vocabSize > shared) {
          const sampled = await answers(lm, {verification: 'dense', temperature: 2, gamma: 2});
          expect(
            sampled.flat().some((token) => token >= shared),
            'tokens that the draft lacks',
          ).to.equal(true);
        }
      }));
  });

  onBackend('cpu', `The draft in a pair of ${what}`, () => {
    it('never proposes a token that is not shared', () =>
      withModel(pair(), async (lm) => {
        const [kernelName, backendName] = ['SpeculativeAccept', 'cpu'];
        const right = tf.getKernel(kernelName, backendName);
        const proposed: number[] = [];
        let beyond = 0;
        tf.unregisterKernel(kernelName, backendName);
        tf.registerKernel({
          ...{kernelName, backendName},
          kernelFunc: (call) => {
            const [block, q] = Object.values(call.inputs) as unknown as [tf.Tensor1D, tf.Tensor2D];
            proposed.push(...block.dataSync().slice(1));
            const columns = q.shape[1];
            q.dataSync().forEach((x, at) => (beyond += at % columns >= shared ? x : 0));
            return right.kernelFunc(call);
          },
        });
        try {
          await answers(lm, {verification: 'dense', temperature: 3, gamma: 3});
        } finally {
          tf.unregisterKernel(kernelName, backendName);
          tf.registerKernel(right);
        }
        expect(proposed.length).to.be.greaterThan(20);
        expect(Math.max(...proposed)).to.be.lessThan(shared);
        expect(new Set(proposed).size, 'different tokens').to.be.greaterThan(2);
        expect(beyond, 'probability beyond the shared tokens').to.equal(0);
      }));
  });

  onBackend('specattn', `Two sampled tokens of ${what}`, () => {
    const DRAWS = 20_000;
    it(`are distributed as the verifier's own: ${DRAWS} draws`, function () {
      this.timeout(120_000);
      return withModel(pair(), async (lm) => {
        const filters = {temperature: 1.3, topK: 0, topP: 1, minP: 0};
        const options = resolveOptions({verification: 'dense', ...filters});
        const prompt = lm.tokenizer.encode('ab');
        const size = lm.verifier.config.vocabSize;
        const next = (prefix: number[]): Float64Array =>
          distribution(
            tf.tidy(() => {
              const tokens = tf.tensor1d([...prompt, ...prefix], 'int32');
              const [cache, position] = [lm.verifier.newCache(16), tf.tensor1d([0], 'int32')];
              const {lastLogits} = lm.verifier.forward({tokens, position, cache, outputs: ['lastLogits']});
              return lastLogits!.dataSync();
            }),
            filters,
          );
        const law = Float64Array.from([...next([])].flatMap((p, a) => [...next([a])].map((q) => p * q)));
        const counts = new Array<number>(law.length).fill(0);
        const decoder = new Decoder(lm, 16);
        try {
          await decoder.begin(prompt, options);
          const [one, two] = [decoder.step(1, options), decoder.step(2, options)];
          for (let seed = 0; seed < DRAWS; seed++) {
            decoder.state.set('last', prompt);
            decoder.state.set('position', [prompt.length - 1]);
            decoder.state.set('seed', [seed, 0]);
            const written: number[] = [];
            while (written.length < 2) {
              const [report] = await (written.length === 0 ? two : one).run().read();
              written.push(...report.filter((token) => token >= 0));
            }
            counts[written[0] * size + written[1]]++;
          }
        } finally {
          decoder.dispose();
        }
        const {degreesOfFreedom, ...cells} = pooled(counts, law);
        expect(chiSquare(cells.counts, cells.probabilities)).to.be.below(chiSquareLimit(degreesOfFreedom));
      });
    });
  });
}

forEachBackend('A draft made for fewer positions than its verifier', (backend) => {
  const pair = () => letterPair({...BASE, contextLength: 64}, {contextLength: 20});
  const short = 'abcdef';
  const long = 'abcdef'.repeat(5);

  it('drafts up to its positions; past them the answer goes on plainly to the end of the context', () =>
    withModel(pair(), async (lm) => {
      expect(lm.contextLength).to.equal(64);
      const options = {maxNewTokens: 100};
      for (const temperature of [0, 1]) {
        for (const prompt of [short, short + short + short, long]) {
          const plain = await lm.generate(prompt, {...options, draft: false, temperature, seed: 3});
          expect(plain.finishReason).to.equal('length');
          expect(plain.tokens.length).to.equal(64 - prompt.length + 1);
          expect(plain.stats.plainRounds).to.equal(plain.stats.rounds);
          for (const gamma of backend === 'cpu' ? [3] : ([1, 3, 16, 'adaptive'] as const)) {
            const {tokens, stats} = await lm.generate(prompt, {
              ...{...options, verification: 'dense', gamma, temperature, seed: 3},
            });
            if (temperature === 0) expect(tokens).to.deep.equal(plain.tokens, `gamma ${gamma}`);
            expect(tokens.length).to.equal(plain.tokens.length);
            const drafts = prompt.length <= 20;
            expect(stats.drafted > 0).to.equal(drafts);
            expect(stats.plainRounds < stats.rounds).to.equal(drafts);
            // The last position that a round may begin at is 19.
            expect(stats.plainRounds).to.be.within(64 - Math.max(prompt.length, 21), 64 - 19);
          }
        }
      }
    }));

  it('gives its keys and values no more room than its positions', () =>
    withModel(pair(), async (lm) => {
      const decoder = new Decoder(lm, lm.contextLength);
      const {draftCache, verifierCache} = decoder.state.tensors;
      expect(draftCache[0].shape[1]).to.equal(20);
      expect(verifierCache[0].shape[1]).to.equal(64);
      decoder.dispose();
    }));

  it('selects keys while it drafts, as a draft made for all positions does', async () => {
    const whole = letterPair({...BASE, contextLength: 64});
    const few = pair();
    const mapOf = ({draft, verifier}: {draft: string; verifier: string}): LayerMap => {
      const file = path.join(verifier, 'layer_map.json');
      const kl = JSON.parse(fs.readFileSync(file, 'utf8')) as Omit<LayerMap, 'kind' | 'mixture'>;
      expect(kl.draft.config).to.equal(readConfig(draft).sha256);
      const combination = {heads: [[0, 0, 0.3] as const, [1, 1, 0.4] as const], own: 0.3};
      const layers = [combination, combination];
      const groups = layers.map((layer) => [layer]);
      return {
        ...kl,
        kind: 'mixture',
        mixture: {layers, groups, ownRows: 4, kl: [0.1, 0.1]},
      } as unknown as LayerMap;
    };
    for (const kind of ['kl', 'mixture'] as const) {
      for (const granularity of backend === 'cpu' ? (['layer'] as const) : (['layer', 'head'] as const)) {
        const options: GenerateOptions = {
          ...{verification: 'sparse', p: 0.5, sinks: 1, recent: 2, denseLayers: 0, gamma: 3, granularity},
          maxNewTokens: 10, // up to position 16: rounds that both pairs have
        };
        const written: unknown[] = [];
        for (const folders of [few, whole]) {
          const layerMap = kind === 'kl' ? undefined : mapOf(folders);
          await withModel({...folders, layerMap}, async (lm) => {
            const {tokens, stats} = await lm.generate(short, options);
            written.push({tokens, kvReduction: stats.kvReduction, accepted: stats.accepted});
            expect(stats.kvReduction).to.be.greaterThan(0.1);
            if (backend === 'cpu') return;
            for (const verification of ['sparse', 'refresh'] as const) {
              const {tokens} = await lm.generate(short, {...options, verification, maxNewTokens: 100});
              expect(tokens.length).to.equal(64 - short.length + 1);
            }
            const all = await lm.generate(short, {...options, p: 1, maxNewTokens: 100});
            const plain = await lm.generate(short, {draft: false, maxNewTokens: 100});
            expect(all.tokens).to.deep.equal(plain.tokens);
          });
        }
        expect(written[0]).to.deep.equal(written[1], `${kind}, ${granularity}`);
      }
    }
  });

  it('is what draft: false and no draft at all are not limited by', () => {
    const folders = pair();
    return withModel(folders, async (lm) => {
      const {tokens} = await lm.generate(long, {draft: false, maxNewTokens: 8});
      expect(tokens.length).to.equal(8);
      await withModel({verifier: folders.verifier, draft: null}, async (alone) => {
        const answer = await alone.generate(long, {maxNewTokens: 8});
        expect(answer.tokens).to.deep.equal(tokens);
        expect(answer.stats.plainRounds).to.equal(8);
      });
    });
  });

  it('takes a contextLength up to what the verifier was made for', () =>
    withModel({...pair(), contextLength: 64}, async (lm) => {
      expect((await lm.generate(long, {maxNewTokens: 3, verification: 'dense'})).tokens.length).to.equal(3);
    }));
});

describe('WindowScores of a draft that proposes fewer tokens than the verifier has', () => {
  it('compare the first tokens alone', () => {
    const scores = new WindowScores([0, 1, 2], 1, 1, 4);
    const [p, q] = [
      [0.1, 0.2, 0.3, 0.4],
      [0.6, 0.2, 0.2],
    ];
    const logits = (...rows: number[][]) => Float32Array.from(rows.flat(), Math.log);
    scores.add({position: 0, rows: 2, verifier: logits(p, p), draft: logits(q, [0.1, 0.1, 0.8])});
    const {sums} = scores;
    expect(sums.overlap).to.be.closeTo(0.1 + 0.2 + 0.2 + 0.1 + 0.1 + 0.3, 1e-6);
    expect(sums.greedyOverlap).to.equal(0);
    expect(sums.acceptedLength).to.be.closeTo(0.5, 1e-6);
    expect(sums.nll.reduce((a, b) => a + b)).to.be.closeTo(-Math.log(0.2) - Math.log(0.3), 1e-6);
  });
});

onBackend('specattn', 'evaluate and calibrate with a pair of unlike vocabularies', () => {
  for (const [what, {verifier, draft, shared}] of Object.entries(VOCABULARIES)) {
    it(`compare the tokens that ${what} share`, () =>
      withModel(
        letterPair({...BASE, ...verifier, contextLength: 64}, {...draft, distance: 0}),
        async (lm) => {
          const letters = 'abcdefgh'.slice(
            0,
            lm.verifier.config.vocabSize > shared && verifier.letters === 8 ? 8 : 6,
          );
          const text = Array.from({length: 200}, (_, i) => letters[(i * i + (i >> 3)) % letters.length]).join(
            '',
          );
          const [dense] = await evaluate(lm, [{name: 'letters', text}], {
            ...{methods: ['dense'], window: 40, windows: 2},
          });
          expect(Number.isFinite(dense.perplexity)).to.equal(true);
          expect(dense.acceptance!.sampled).to.be.within(0.2, 1);
          const map = await calibrate(lm, [text], {window: 40, slack: false});
          expect(map.kl.flat().every((value) => Number.isFinite(value))).to.equal(true);
        },
      ));
  }
});

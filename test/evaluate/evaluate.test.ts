/** Tests of `evaluate` against a float64 reference, against dense attention where every key is kept, and after an interruption. */
import * as path from 'node:path';

import {expect} from 'chai';

import {writeLayerMap, type LayerMap} from '../../models/layer_map.js';
import {calibrate} from '../../src/calibration/calibrate.js';
import {
  evaluate,
  type EvaluateOptions,
  type EvaluationText,
  type MethodResult,
  type WindowRecord,
} from '../../src/evaluate/index.js';
import type {LanguageModel} from '../../src/language_model.js';
import {forEachBackend, onBackend} from '../backends.js';
import {newFolder, passage, refusal, tinyPair, withModel} from '../decoding/models.js';
import {select} from '../reference.js';
import {
  decode,
  everyKey,
  oracleSees,
  questSees,
  sparselySees,
  streamingSees,
  type Renewed,
  type Sees,
} from './reference.js';

const WINDOW = 90;
const PREFILL = 0.3;
const PROMPT = 27;
const DENSE_LAYERS = 1;

async function one(
  lm: LanguageModel,
  method: string,
  options: Partial<EvaluateOptions> = {},
): Promise<MethodResult> {
  const texts = [{name: 'passage', text: passage(1)}];
  const [result] = await evaluate(lm, texts, {
    methods: [method],
    window: WINDOW,
    prefill: PREFILL,
    windows: 1,
    ...options,
  });
  return result;
}

/** Perplexity of the decoded tokens in float64, and the share of keys that `sees` leaves out. */
function reference(
  tokens: number[],
  sees: Sees,
  renewed?: Renewed,
): {perplexity: number; kvReduction: number} {
  const {verifier} = tinyPair();
  let [kept, visible] = [0, 0];
  const counted: Sees = (sight) => {
    const keys = [...sees(sight)];
    kept += keys.length;
    visible += sight.t + 1;
    return keys;
  };
  const {nll} = decode(verifier, tokens, sparselySees(counted, DENSE_LAYERS, PROMPT - 1), renewed);
  const decoded = nll.slice(PROMPT - 1);
  expect(decoded).to.have.length(WINDOW - PROMPT);
  return {
    perplexity: Math.exp(decoded.reduce((a, b) => a + b, 0) / decoded.length),
    kvReduction: 1 - kept / visible,
  };
}

forEachBackend('evaluate on a small random pair', function () {
  const inFloat64 = new Map<string, {perplexity: number; kvReduction: number}>();

  /** Expects the method to agree with float64, which is computed once for all backends, and to differ from dense attention. */
  async function agrees(
    method: string,
    sees: (tokens: number[]) => Sees,
    renews?: (tokens: number[]) => Renewed,
  ): Promise<void> {
    await withModel(tinyPair(), async (lm) => {
      const tokens = lm.tokenizer.encode(passage(1)).slice(0, WINDOW);
      const expected = inFloat64.get(method) ?? reference(tokens, sees(tokens), renews?.(tokens));
      inFloat64.set(method, expected);
      const dense = inFloat64.get('dense') ?? reference(tokens, everyKey);
      inFloat64.set('dense', dense);
      const result = await one(lm, `${method},denseLayers=${DENSE_LAYERS}`);
      expect(result.perplexity / expected.perplexity).to.be.closeTo(1, 2e-5);
      expect(result.change).to.be.closeTo(expected.perplexity / dense.perplexity - 1, 2e-5);
      expect(Math.abs(result.change)).to.be.greaterThan(2e-4);
      expect(result.kvReduction).to.be.closeTo(expected.kvReduction, 1e-9);
      expect(result.kvReduction).to.be.greaterThan(0.2);
      expect(result.tokens).to.equal(WINDOW - PROMPT);
    });
  }

  for (const gamma of [4, 0]) {
    it(`decodes as Quest does, ${gamma + 1} rows at a time`, () =>
      agrees(`quest:budget=16,page=4,gamma=${gamma}`, () => questSees(16, 4)));
    it(`decodes as StreamingLLM does, ${gamma + 1} rows at a time`, () =>
      agrees(`streaming:budget=16,sinks=3,gamma=${gamma}`, () => streamingSees(16, 3)));
  }

  for (const unit of ['layer', 'head'] as const) {
    it(`decodes as an oracle that selects by ${unit} does`, () =>
      agrees(`oracle:p=0.7,sinks=2,recent=3,granularity=${unit}`, () => oracleSees(0.7, 2, 3, unit)));
  }

  for (const union of ['row', 'causal', 'full'] as const) {
    it(`decodes as SpecAttn does, with the union ${union}`, () =>
      agrees(`specattn:p=0.6,gamma=3,sinks=1,recent=2,union=${union}`, (tokens) =>
        specattnSees(tokens, 0.6, 3, {sinks: 1, recent: 2, union}),
      ));
  }

  it('renews keys and values every few blocks', () => {
    const [gamma, refreshEvery] = [2, 3];
    const rows = refreshEvery * (gamma + 1);
    return agrees(
      `specattn:p=0.6,gamma=${gamma},sinks=1,recent=2,refreshEvery=${refreshEvery}`,
      (tokens) => specattnSees(tokens, 0.6, gamma, {sinks: 1, recent: 2, union: 'causal'}),
      (tokens) => ({
        caches: decode(tinyPair().verifier, tokens, everyKey).caches,
        before: (t) => t - ((t - (PROMPT - 1)) % rows),
      }),
    );
  });
});

/** The paper's method in float64: the draft attends densely, and the rows of a block see the union of its nuclei. */
function specattnSees(
  tokens: number[],
  p: number,
  gamma: number,
  options: {sinks: number; recent: number; union: 'row' | 'causal' | 'full'},
): Sees {
  const {draft} = tinyPair();
  const {attention} = decode(draft, tokens, everyKey);
  const map = [0, 0, 1]; // the layers of tinyLayerMap
  const first = PROMPT - 1;
  return ({layer, t}) => {
    const position = first + Math.floor((t - first) / (gamma + 1)) * (gamma + 1);
    const rows = Math.min(gamma + 1, tokens.length - 1 - position);
    const steps = Array.from({length: Math.max(1, rows - 1)}, (_, i) => {
      const row = new Float64Array(tokens.length);
      row.set(attention[map[layer]][position + i]);
      return row;
    });
    return select(steps, p, position, options)[t - position];
  };
}

onBackend('specattn', 'evaluate on the embedded pair', () => {
  const window = 160;
  const pieces = {window, windows: 1, prefill: 0.1};

  it('equals dense attention if every key is kept', () =>
    withModel({}, async (lm) => {
      const all = [
        'dense',
        'dense:gamma=0',
        'specattn:p=1',
        'specattn:p=1,granularity=head,union=row,gamma=7',
        'oracle:p=1',
        'oracle:p=1,granularity=head',
        ...['quest', 'streaming', 'random'].map((kind) => `${kind}:budget=${window + 1}`),
        'specattn:p=0.1,denseLayers=8',
      ];
      const results = await evaluate(lm, [{name: 'passage', text: passage(2)}], {...pieces, methods: all});
      const [dense] = results;
      for (const [i, result] of results.entries()) {
        expect(result.method).to.equal(all[i]);
        expect(result.perplexity, result.method).to.be.closeTo(dense.perplexity, 1e-4);
        expect(result.agreement, result.method).to.equal(1);
        expect(result.kvReduction, result.method).to.equal(0);
        expect(result.readReduction, result.method).to.equal(0);
      }
    }));

  it('keeps as many random keys as the budget says, the same ones for the same seed', () =>
    withModel({}, async (lm) => {
      const random = (seed: number) => one(lm, `random:budget=40,seed=${seed}`, pieces);
      const [a, again, other] = [await random(1), await random(1), await random(2)];
      const prompt = window * 0.1;
      const rows = Array.from({length: window - prompt}, (_, i) => prompt + i); // number of keys visible to each row
      const sum = (numbers: number[]) => numbers.reduce((x, y) => x + y, 0);
      const kept = sum(rows.map((visible) => Math.min(40, visible)));
      expect(a.kvReduction).to.be.closeTo(1 - kept / sum(rows), 1e-12);
      expect(again.perplexity).to.equal(a.perplexity);
      expect(other.perplexity).not.to.equal(a.perplexity);
      expect(other.kvReduction).to.equal(a.kvReduction);
    }));

  it('counts what Quest reads to choose, in keys and in bytes', () =>
    withModel({}, async (lm) => {
      const [budget, page, gamma, prompt] = [32, 8, 3, 16];
      const {kvReduction, readReduction, bytesPerToken, tokens} = await one(
        lm,
        `quest:budget=${budget},page=${page},gamma=0`,
        pieces,
      );
      let [pages, visible] = [0, 0];
      for (let t = prompt - 1; t < window - 1; t++) {
        visible += t + 1;
        if (t + 1 > budget) pages += Math.floor(t / page);
      }
      expect(kvReduction - readReduction).to.be.closeTo(pages / visible, 1e-12);
      // A single row reads the keys and values that it sees. In sparse layers it also reads 8 bytes for each listed key (index and row
      // mask) and the bounds of the pages, which are as large as a key and a value.
      const pair = 2 * 64 * 2;
      const kept = (1 - kvReduction) * visible;
      const bytes = 5 * (2 * visible * pair + 6 * (kept * (pair + 8) + pages * pair));
      expect(bytesPerToken).to.be.closeTo(bytes / tokens, 1e-6);
      // A block reads the bounds of a page once for all its rows.
      const block = await one(lm, `quest:budget=${budget},page=${page},gamma=${gamma}`, pieces);
      expect(block.kvReduction).to.be.closeTo(kvReduction, 1e-12);
      expect(block.bytesPerToken).to.be.lessThan(bytesPerToken / 2);
    }));

  it('reports the acceptance of the draft, the same for every dense run', () =>
    withModel({}, async (lm) => {
      const {acceptance} = await one(lm, 'dense:gamma=3', pieces);
      const {sampled, greedy, sampledLength, greedyLength, gamma} = acceptance!;
      expect(gamma).to.equal(3);
      expect(sampled).to.be.within(0.4, 0.9);
      expect(greedy).to.be.within(0.4, 0.9);
      for (const [rate, length] of [
        [sampled, sampledLength],
        [greedy, greedyLength],
      ])
        expect(length).to.be.within(rate / 2, 3);
      const alone = await one(lm, 'dense:gamma=0', pieces);
      expect(alone.acceptance).to.deep.include({sampled, greedy, sampledLength: 0});
    }));

  it('counts what refreshing reads', () =>
    withModel({}, async (lm) => {
      const [prompt, gamma] = [16, 4];
      const never = await one(lm, `specattn:p=0.5,map=kl,gamma=${gamma}`, pieces);
      const often = await one(lm, `specattn:p=0.5,map=kl,gamma=${gamma},refreshEvery=2`, pieces);
      let bytes = 0;
      for (let to = prompt - 1 + 2 * (gamma + 1); to < window; to += 2 * (gamma + 1))
        bytes += 8 * 5 * to * 2 * 64 * 2;
      // A map of the kind `kl` selects by the draft alone, which refreshing does not change.
      expect(often.kvReduction).to.equal(never.kvReduction);
      expect((often.bytesPerToken - never.bytesPerToken) * often.tokens).to.be.closeTo(bytes, 1e-3);
    }));

  it('continues from the records of an aborted run, with the same results', () =>
    withModel({}, async (lm) => {
      const texts = [1, 2].map((i) => ({name: `passage ${i}`, text: passage(i)}));
      const options = {methods: ['streaming:budget=40', 'specattn:p=0.8'], window: 96, windows: 2};
      const timeless = (results: MethodResult[]) => results.map(({seconds: _, ...rest}) => rest);
      const whole: WindowRecord[] = [];
      const expected = await evaluate(lm, texts, {...options, onRecord: (record) => whole.push(record)});
      expect(whole).to.have.length(3 * 4); // dense attention is always evaluated too
      expect(expected[0].windows).to.equal(4);
      expect(expected[0].changeError).to.be.greaterThan(0);

      const stop = new AbortController();
      const records: WindowRecord[] = [];
      const ended = await evaluate(lm, texts, {
        ...options,
        signal: stop.signal,
        onRecord: (record) => records.push(record) === 5 && stop.abort(),
      }).catch((error: Error) => error.name);
      expect(ended).to.equal('AbortError');
      expect(records).to.have.length(5);

      const more: string[] = [];
      let rows = 0;
      const results = await evaluate(lm, texts, {
        ...options,
        records,
        onRecord: ({key}) => more.push(key),
        onProgress: ({loaded, total}) => {
          rows = loaded;
          expect(loaded).to.be.at.most(total);
          // The dense attention of the second window is computed again for comparison, and then the seven missing records.
          expect(total).to.equal(8 * (96 - 10));
        },
      });
      expect([...records.map(({key}) => key), ...more]).to.deep.equal(whole.map(({key}) => key));
      expect(rows).to.equal(8 * (96 - 10));
      expect(timeless(results)).to.deep.equal(timeless(expected));
      const again = await evaluate(lm, texts, {
        ...options,
        records: whole,
        onRecord: () => expect.fail('computed'),
      });
      expect(timeless(again)).to.deep.equal(timeless(expected));
    }));

  it('refuses invalid options', () =>
    withModel({}, async (lm) => {
      const text = passage(1);
      const refused = async (
        options: Partial<EvaluateOptions>,
        message: string,
        pair: Partial<LanguageModel> = {},
      ) =>
        expect(
          await refusal(() =>
            evaluate({...lm, ...pair} as LanguageModel, [{name: 'a', text}], {
              methods: ['dense'],
              window: 64,
              ...options,
            }),
          ),
        ).to.include(message);
      await refused(
        {methods: []},
        "[evaluate] methods must be a list of one or more, each a method as in 'specattn:p=0.95,gamma=4', but is []",
      );
      await refused({methods: ['h2o']}, '[evaluate] method must be one of dense, specattn, quest');
      await refused({window: 5000}, '[evaluate] window must be a whole number from 2 to 4096 but is 5000');
      await refused({window: 4096}, '[evaluate] texts must have 4096 tokens or more');
      await refused({prefill: 1}, '[evaluate] prefill must be a share in [0, 1) but is 1');
      await refused({windows: 0}, '[evaluate] windows must be a whole number of 1 or more but is 0');
      await refused({methods: ['specattn']}, 'needs a layer map', {layerMap: undefined});
      await refused({methods: ['specattn']}, 'needs a draft', {draft: undefined});
      await refused({methods: ['specattn:map=nowhere.json']}, 'nowhere.json');
      await refused(
        {prefil: 0.5} as object,
        "[evaluate] there is no option 'prefil'; the options are methods",
      );
      await refused({signal: AbortSignal.abort()}, 'aborted');
      const plain = [text] as unknown as EvaluationText[];
      expect(await refusal(() => evaluate(lm, plain, {methods: ['dense']}))).to.include(
        '[evaluate] texts must be a list of one or more, each {name, text}, but one is "',
      );
      const nothing = undefined as unknown as EvaluateOptions;
      expect(await refusal(() => evaluate(lm, [{name: 'a', text}], nothing))).to.equal(
        '[evaluate] options must be an object but are undefined',
      );
    }));

  it("uses the map that a method asks for: a file, or a part of the pair's map", async () => {
    const method = 'specattn:p=0.8';
    const run = (layerMap: LayerMap | undefined, methods: string[]) => {
      let results: MethodResult[] = [];
      return withModel({layerMap}, async (lm) => {
        results = await evaluate(lm, [{name: 'a', text: passage(1)}], {...pieces, methods});
      }).then(() => results.map(({perplexity}) => perplexity));
    };
    const file = path.join(newFolder(), 'layer_map.json');
    let mixture: LayerMap | undefined;
    await withModel({}, async ({draft, verifier, tokenizer}) => {
      const options = {window: 64, rows: 60, map: 'mixture'} as const;
      mixture = await calibrate({draft: draft!, verifier, tokenizer}, [passage(3)], options);
    });
    const kl = {...mixture, kind: 'kl'} as LayerMap;
    writeLayerMap(file, kl);
    const [asKl, fromFile] = await run(kl, [method, `${method},map=${file}`]);
    expect(fromFile).to.equal(asKl);
    const [asIs, asMixture, partKl] = await run(
      mixture,
      ['', ',map=mixture', ',map=kl'].map((map) => method + map),
    );
    expect(asMixture).to.equal(asIs);
    expect(partKl).to.equal(asKl);
    expect(asIs).not.to.equal(asKl);
    const message = await run(kl, [`${method},map=mixture`]).catch((error: Error) => error.message);
    expect(message).to.equal(
      "[evaluate] map=mixture needs a map of the kind 'mixture', but the pair's is 'kl'",
    );
  });

  it('works without a draft', () =>
    withModel({draft: null}, async (lm) => {
      const result = await one(lm, 'streaming:budget=40', pieces);
      expect(result.acceptance).to.equal(undefined);
      expect(result.perplexity).to.be.greaterThan(1);
    }));
});

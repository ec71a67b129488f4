/** Tests of `evaluatePasskey`: its trials, the scores of answers, and the passkeys that a method can still find. */
import {expect} from 'chai';

import {evaluatePasskey, type PasskeyOptions, type PasskeyRecord} from '../../src/evaluate/index.js';
import {passkeyOf} from '../../src/evaluate/passkeys.js';
import {passkeyTable} from '../../src/evaluate/tables.js';
import type {LanguageModel} from '../../src/language_model.js';
import {onBackend} from '../backends.js';
import {passage, refusal, withModel} from '../decoding/models.js';

describe('passkeyOf', () => {
  it('has a question for its key which does not contain the key', () => {
    for (const kind of ['digits', 'name'] as const) {
      const keys = [...Array(50).keys()].map((trial) => passkeyOf(kind, trial));
      for (const {told, question, answer, place} of keys) {
        expect(told.split(answer)).to.have.length.of.at.least(3 - Number(kind === 'digits'));
        expect(question).not.to.include(answer);
        expect(place).to.be.within(0, 1);
      }
      expect(new Set(keys.map(({answer}) => answer)).size).to.equal(50);
      expect(passkeyOf(kind, 7)).to.deep.equal(keys[7]);
    }
  });

  it('asks for a name with the beginning of the sentence that told it', () => {
    const {told, question, answer} = passkeyOf('name', 3);
    expect(told).to.include(question + answer);
    expect(answer).to.match(/^ [A-Z]([a-z]{6})$/);
    expect(passkeyOf('digits', 3).answer).to.match(/^ \d{5}$/);
  });
});

const texts = [1, 2].map((i) => ({name: `passage ${i}`, text: passage(i)}));

onBackend('specattn', 'evaluatePasskey', () => {
  it('finds the passkeys whose keys a method keeps, and loses others', () =>
    withModel({}, async (lm) => {
      const methods = ['dense', 'dense:gamma=0', 'streaming:budget=120', 'specattn:p=1', 'quest:budget=512'];
      const records = await evaluatePasskey(lm, texts, {methods, keys: ['name'], lengths: [384], trials: 3});
      const of = (method: string) => records.filter((record) => record.method === method);
      expect(records).to.have.length(5 * methods.length);
      expect(of('dense').map(({depth}) => depth)).to.deep.equal([0, 0.25, 0.5, 0.75, 1]);
      const found = (method: string) =>
        of(method).map(({correct, correctTokens}) => [correct, correctTokens]);
      // With dense attention the pair finds more than half of the 15 names and most of their tokens.
      const sum = (method: string, name: 'correct' | 'correctTokens' | 'totalTokens') =>
        of(method).reduce((total, record) => total + record[name], 0);
      expect(sum('dense', 'correct')).to.be.greaterThan(7);
      expect(sum('dense', 'correctTokens') / sum('dense', 'totalTokens')).to.be.greaterThan(0.8);
      for (const same of ['dense:gamma=0', 'specattn:p=1', 'quest:budget=512'])
        expect(found(same), same).to.deep.equal(found('dense'));
      // The passkey at the end is within the window of `streaming`. The one in the middle is lost with the keys there.
      const streaming = of('streaming:budget=120');
      expect(streaming[4].correct).to.equal(of('dense')[4].correct);
      expect(streaming[2].correct).to.equal(0);
      expect(streaming[2].correctTokens).to.be.lessThan(of('dense')[2].correctTokens / 2);
      expect(streaming[0].kvReduction).to.be.closeTo(1 - 120 / 372, 0.01);
      for (const {task, total, length, key, totalTokens} of records) {
        expect({task, total, length, key}).to.deep.equal({
          task: 'passkey',
          total: 3,
          length: 384,
          key: 'name',
        });
        expect(totalTokens).to.be.within(3 * 2, 3 * 6);
      }
    }));

  it('continues from the records of an aborted run, with the same results', () =>
    withModel({}, async (lm) => {
      const options: PasskeyOptions = {
        ...{
          methods: ['dense', 'streaming:budget=64'],
          keys: ['digits', 'name'],
          lengths: [160],
          trials: 2,
        },
      };
      const expected = await evaluatePasskey(lm, texts, options);
      const stop = new AbortController();
      const records: PasskeyRecord[] = [];
      const ended = await evaluatePasskey(lm, texts, {
        ...options,
        signal: stop.signal,
        onRecord: (record) => records.push(record) === 14 && stop.abort(),
      }).catch((error: Error) => error.name);
      expect(ended).to.equal('AbortError');
      expect(records).to.deep.equal(expected.slice(0, 14));
      const more: PasskeyRecord[] = [];
      let last: unknown;
      const results = await evaluatePasskey(lm, texts, {
        ...options,
        records,
        onRecord: (record) => more.push(record),
        onProgress: ({loaded, total}) => (last = {loaded, total}),
      });
      expect(results).to.deep.equal(expected);
      expect([...records, ...more]).to.deep.equal(expected);
      expect(last).to.deep.equal({loaded: 6 * 2, total: 6 * 2});
    }));

  it('refuses invalid options', () =>
    withModel({}, async (lm) => {
      const refused = async (options: Partial<PasskeyOptions>, message: string, of = texts) =>
        expect(
          await refusal(() => evaluatePasskey(lm as LanguageModel, of, {methods: ['dense'], ...options})),
        ).to.include(message);
      await refused(
        {methods: []},
        "[evaluatePasskey] methods must be a list of one or more, each a method as in 'specattn:p=0.95,gamma=4', but is []",
      );
      await refused(
        {lengths: [100]},
        '[evaluatePasskey] lengths must be a list of one or more, each a whole number from 128 to 4096, but one is 100',
      );
      await refused(
        {keys: ['word' as 'name']},
        "[evaluatePasskey] keys must be a list of one or more, each one of 'digits', 'name', but one is \"word\"",
      );
      await refused({trials: 0}, '[evaluatePasskey] trials must be a whole number >= 1 but is 0');
      await refused(
        {},
        '[evaluatePasskey] texts must be a list of one or more, each {name, text}, but is []',
        [],
      );
      await refused(
        {length: [512]} as object,
        "[evaluatePasskey] there is no option 'length'; the options are",
      );
      await refused({lengths: [4096]}, "tokens or more, but 'passage 1' has fewer");
      await refused({signal: AbortSignal.abort()}, 'aborted');
    }));
});

describe('passkeyTable', () => {
  it('has a row for each method, key and length', () => {
    const record = {task: 'passkey', id: '', key: 'name', length: 512, total: 4, totalTokens: 10} as const;
    const records: PasskeyRecord[] = [
      {...record, method: 'dense', depth: 0, correct: 4, correctTokens: 10, kvReduction: 0},
      {...record, method: 'random', depth: 0, correct: 1, correctTokens: 5, kvReduction: 0.5},
      {...record, method: 'dense', depth: 1, correct: 3, correctTokens: 9, kvReduction: 0},
      {...record, method: 'random', depth: 1, correct: 0, correctTokens: 4, kvReduction: 0.7},
    ];
    const rows = passkeyTable(records)
      .split('\n')
      .map((row) =>
        row
          .split('|')
          .slice(1, -1)
          .map((cell) => cell.trim()),
      );
    expect(rows[0]).to.deep.equal([
      'method',
      'key',
      'length',
      'at 0%',
      'at 100%',
      'found',
      'tokens',
      'KV reduction',
    ]);
    expect(rows.slice(2)).to.deep.equal([
      ['dense', 'name', '512', '100%', '75%', '88%', '95%', '0.0%'],
      ['random', 'name', '512', '25%', '0%', '13%', '45%', '60.0%'],
    ]);
  });
});

import * as fs from 'node:fs';
import * as path from 'node:path';

import {expect} from 'chai';

import {EvaluationFolder, PasskeyFolder, aboutRun, pairInWords} from '../../src/evaluate/records.js';
import type {PasskeyRecord, WindowRecord} from '../../src/evaluate/index.js';
import {newFolder} from '../decoding/models.js';

const record = (key: string) => ({key, scores: {}, reads: {}}) as WindowRecord;

describe('EvaluationFolder', () => {
  it('reads the appended records, without a last line that a crash cut off', () => {
    const dir = path.join(newFolder(), 'new', 'folder');
    const folder = new EvaluationFolder(dir);
    expect(folder.records).to.deep.equal([]);
    folder.append(record('a'));
    folder.append(record('b'));
    expect(new EvaluationFolder(dir).records).to.deep.equal([record('a'), record('b')]);

    const file = path.join(dir, 'windows.jsonl');
    fs.appendFileSync(file, JSON.stringify(record('c')).slice(0, -3));
    const again = new EvaluationFolder(dir);
    expect(again.records.map(({key}) => key)).to.deep.equal(['a', 'b']);
    again.append(record('d'));
    expect(new EvaluationFolder(dir).records.map(({key}) => key)).to.deep.equal(['a', 'b', 'd']);
  });

  it('refuses a file of other content', () => {
    const dir = newFolder();
    fs.writeFileSync(path.join(dir, 'windows.jsonl'), `${JSON.stringify(record('a'))}\n{"key": 1}\n`);
    expect(() => new EvaluationFolder(dir)).to.throw(
      /windows\.jsonl: line 2 must be a window's record as JSON/,
    );
  });
});

describe('PasskeyFolder', () => {
  it('reads the appended records, and refuses a file of other content', () => {
    const dir = newFolder();
    const line = {task: 'passkey', id: 'a'} as PasskeyRecord;
    new PasskeyFolder(dir).append(line);
    expect(new PasskeyFolder(dir).records).to.deep.equal([line]);
    fs.appendFileSync(path.join(dir, 'passkey.jsonl'), `${JSON.stringify(record('a'))}\n`);
    expect(() => new PasskeyFolder(dir)).to.throw(
      /passkey\.jsonl: line 2 must be a passkey's record as JSON/,
    );
  });
});

describe('run.json', () => {
  it('says with which pair, where and when the results were made', () => {
    const about = aboutRun('D for V', 'a device');
    expect(about.machine).to.match(/^a device, \d+ GB, Node v\d+/);
    expect(about.date).to.match(/^\d{4}-\d\d-\d\d$/);
    for (const folder of [EvaluationFolder, PasskeyFolder]) {
      const dir = newFolder();
      new folder(dir).finish([], about);
      expect(JSON.parse(fs.readFileSync(path.join(dir, 'run.json'), 'utf8'))).to.deep.equal(about);
    }
  });

  it('names a pair as the options of load do', () => {
    expect(pairInWords(undefined, undefined)).to.equal('the embedded pair');
    expect(pairInWords('a/D', 'b/V/')).to.equal('D for V');
    expect(pairInWords('D', undefined)).to.equal('D for the embedded verifier');
    for (const none of [false, null] as const)
      expect(pairInWords(none, undefined)).to.equal('the embedded verifier without a draft');
    expect(pairInWords(undefined, 'V')).to.equal('V without a draft');
  });
});

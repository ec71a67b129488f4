import {expect} from 'chai';
import * as fs from 'node:fs';
import * as path from 'node:path';

import {LlamaTokenizer} from '../../models/hf/tokenizer.js';
import {testFolder} from './folder.js';
import {BLOCKS, FOLDERS, KINDS, TOKENIZERS, cases, differingBlock, folders, load} from './tokenizer_kinds.js';

describe('tokenizers of every kind', () => {
  it('are at least ten, and each has cases', () => {
    expect(KINDS.length).to.be.at.least(10);
    expect([...KINDS].sort()).to.deep.equal([...FOLDERS].sort());
  });

  for (const kind of KINDS)
    it(`give the ids and texts of Python's tokenizers: ${kind}`, () => {
      const tokenizer = load(kind);
      for (const [text, ids, back, others, decoded] of cases[kind]) {
        expect(tokenizer.encode(text), JSON.stringify(text)).to.deep.equal(ids);
        expect(tokenizer.decode(ids), JSON.stringify(text)).to.equal(back);
        expect(tokenizer.decode(others), others.join()).to.equal(decoded);
      }
      for (let block = 0; block < BLOCKS; block += 100)
        expect(differingBlock(kind, tokenizer, block), `block ${block}`).to.equal(undefined);
    });
});

describe('tokenizer_config.json and special_tokens_map.json', () => {
  folders.forEach(({kind, files, eos, bos, answers}, i) =>
    it(`add the tokens that transformers adds: ${kind}, ${i}`, () => {
      fs.copyFileSync(
        path.join(TOKENIZERS, kind, 'tokenizer.json'),
        path.join(testFolder(), 'tokenizer.json'),
      );
      for (const [name, json] of Object.entries(files))
        fs.writeFileSync(path.join(testFolder(), name), JSON.stringify(json));
      const tokenizer = LlamaTokenizer.load(testFolder());
      expect([...tokenizer.eosIds]).to.deep.equal(eos === null ? [] : [eos]);
      expect(tokenizer.bosId ?? null).to.equal(bos);
      for (const [text, ids, decoded] of answers) {
        expect(tokenizer.encode(text), text).to.deep.equal(ids);
        expect(tokenizer.decode(ids), text).to.equal(decoded);
      }
    }),
  );
});

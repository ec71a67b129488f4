import * as path from 'node:path';

import {expect} from 'chai';

import {LlamaTokenizer} from '../../models/hf/tokenizer.js';
import {cutWindows} from '../../src/evaluate/windows.js';
import {PRETRAINED, passage} from '../decoding/models.js';

describe('cutWindows', () => {
  const tokenizer = LlamaTokenizer.load(path.join(PRETRAINED, 'verifier'));
  const text = passage(1);
  const cut = (length: number, count: number, of = text) =>
    cutWindows({name: 'a passage', text: of}, tokenizer, length, count);

  it('begins at the start of the text, and other windows at words, evenly spread', () => {
    const windows = cut(100, 4);
    expect(windows.map(({from}) => from)[0]).to.equal(0);
    windows.forEach(({from, tokens, text: name}, i) => {
      expect(name).to.equal('a passage');
      expect(tokens).to.have.length(100);
      expect(tokens[0]).to.equal(tokenizer.bosId);
      expect(from).to.be.within((i * text.length) / 4, (i * text.length) / 4 + 40);
      if (i > 0) expect(text.slice(from - 1, from + 1)).to.match(/^\s\S$/);
      expect(text.slice(from).startsWith(tokenizer.decode(tokens).trimStart().slice(0, -1))).to.equal(true);
    });
    expect(new Set(windows.map(({hash}) => hash)).size).to.equal(4);
  });

  it('has the tokens of the whole text, though only a part is tokenised', () => {
    expect(cut(300, 1)[0].tokens).to.deep.equal(tokenizer.encode(text).slice(0, 300));
  });

  it('takes more characters if tokens are long', () => {
    const long = 'understanding '.repeat(400);
    expect(cut(200, 1, long)[0].tokens).to.deep.equal(tokenizer.encode(long).slice(0, 200));
  });

  it('gives fewer windows rather than overlapping ones, and none for a text that is too short', () => {
    const tokens = tokenizer.encode(text).length;
    const length = Math.floor(tokens / 2.5);
    const windows = cut(length, 8);
    expect(windows).to.have.length(2);
    expect(windows[1].from).to.be.at.least(tokenizer.decode(windows[0].tokens).length);
    expect(cut(tokens, 1)).to.have.length(1);
    expect(cut(tokens + 1, 1)).to.deep.equal([]);
  });
});

import {expect} from 'chai';

import {encodePrompt} from '../../src/decoding/prompt.js';
import {load} from '../models/tokenizer_kinds.js';

describe('encodePrompt', () => {
  const tokenizer = load('llama2');
  const inst = tokenizer.encode('[INST]').at(-1)!;

  it('refuses a token beyond the embedding by its name', () => {
    const room = {contextLength: 100, vocabSize: inst};
    expect(encodePrompt(tokenizer, room, 'a b')).to.deep.equal(tokenizer.encode('a b'));
    expect(encodePrompt(tokenizer, {...room, vocabSize: inst + 1}, 'a [INST]')).to.include(inst);
    expect(() => encodePrompt(tokenizer, room, 'a [INST] b')).to.throw(
      `[generate] every token must be below the model's vocab_size ${inst} but "[INST]" of ${tokenizer.dir} has the id ${inst}`,
    );
  });
});

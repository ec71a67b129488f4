import {expect} from 'chai';
import * as fc from 'fast-check';
import {isUtf8} from 'node:buffer';
import * as fs from 'node:fs';
import * as path from 'node:path';

import {LlamaTokenizer, sharedVocabulary} from '../../models/hf/tokenizer.js';
import {testFolder} from './folder.js';
import {PRETRAINED, readGolden} from './golden.js';

const folder = path.join(PRETRAINED, 'draft');

/** Writes a tokenizer like that of Llama 2: words begin with ▁, and bytes that no piece covers are tokens of their own. */
function writeLlama2(dir: string): void {
  const pieces = [
    '<unk>',
    '<s>',
    '</s>',
    ...Array.from({length: 256}, (_, i) => `<0x${i.toString(16).padStart(2, '0').toUpperCase()}>`),
  ];
  pieces.push('▁', 'a', 'b', '▁a', '▁b', 'é');
  const special = (id: number) => ({
    id,
    content: pieces[id],
    special: true,
    normalized: false,
    lstrip: false,
    rstrip: false,
    single_word: false,
  });
  fs.writeFileSync(
    path.join(dir, 'tokenizer.json'),
    JSON.stringify({
      added_tokens: [special(0), special(1), special(2)],
      normalizer: {
        type: 'Sequence',
        normalizers: [
          {type: 'Prepend', prepend: '▁'},
          {type: 'Replace', pattern: {String: ' '}, content: '▁'},
        ],
      },
      pre_tokenizer: null,
      post_processor: {
        type: 'TemplateProcessing',
        single: [{SpecialToken: {id: '<s>', type_id: 0}}, {Sequence: {id: 'A', type_id: 0}}],
        pair: [],
        special_tokens: {'<s>': {id: '<s>', ids: [1], tokens: ['<s>']}},
      },
      decoder: {
        type: 'Sequence',
        decoders: [
          {type: 'Replace', pattern: {String: '▁'}, content: ' '},
          {type: 'ByteFallback'},
          {type: 'Fuse'},
          {type: 'Strip', content: ' ', start: 1, stop: 0},
        ],
      },
      model: {
        type: 'BPE',
        byte_fallback: true,
        fuse_unk: true,
        unk_token: '<unk>',
        vocab: Object.fromEntries(pieces.map((piece, id) => [piece, id])),
        merges: ['▁ a', '▁ b'],
      },
    }),
  );
  fs.writeFileSync(
    path.join(dir, 'tokenizer_config.json'),
    JSON.stringify({bos_token: {content: '<s>'}, eos_token: '</s>'}),
  );
}

function streamed(tokenizer: LlamaTokenizer, chunks: number[][]): {pieces: string[]; rest: string} {
  const stream = tokenizer.stream();
  return {pieces: chunks.map((chunk) => stream.push(chunk)), rest: stream.flush()};
}

/**
 * What a stream gives of ids of `writeLlama2`'s tokenizer: the text of all ids, except that of a run of byte tokens
 * that is no UTF-8 the characters before the first wrong byte stay, and every byte after them is U+FFFD.
 */
function streamedLlama2(tokenizer: LlamaTokenizer, ids: number[]): string {
  let text = '';
  let run: number[] = [];
  for (const id of [...ids.filter((id) => tokenizer.isVisible(id)), undefined]) {
    const byte = id === undefined ? undefined : tokenizer.byteOf(id);
    if (byte !== undefined) {
      run.push(byte);
      continue;
    }
    let good = run.length;
    while (!isUtf8(Buffer.from(run.slice(0, good)))) good--;
    text += Buffer.from(run.slice(0, good)).toString() + '\ufffd'.repeat(run.length - good);
    run = [];
    text += id === undefined ? '' : tokenizer.tokenOf(id)!.replaceAll('▁', ' ');
  }
  return text.replace(/^ /, '');
}

describe('LlamaTokenizer', () => {
  const tokenizer = LlamaTokenizer.load(folder);

  it('encodes as transformers does, with BOS', () => {
    const passage =
      'The old house stood upon the hill, and from its windows one could see the river winding away through the meadows ' +
      'towards the sea. Nobody had lived there since the winter of the great storm.';
    const {tokens} = readGolden('pretrained_draft');
    expect(tokenizer.encode(passage)).to.deep.equal(tokens);
    expect(tokens[0]).to.equal(tokenizer.bosId);
    expect(tokenizer.decode(tokens)).to.equal(passage);
    expect([...tokenizer.eosIds]).to.deep.equal([1]);
  });

  it('decodes its tokens to the same text', () => {
    fc.assert(
      // The text of a special token is left out, because it becomes that token.
      fc.property(fc.string({unit: 'grapheme', maxLength: 40}), (text) => {
        fc.pre(!text.includes('<|'));
        expect(tokenizer.decode(tokenizer.encode(text))).to.equal(text);
      }),
    );
  });

  it('has no text for special tokens and for ids outside the vocabulary', () => {
    expect(tokenizer.decode([0, 1, 9999])).to.equal('');
    expect(tokenizer.decode([])).to.equal('');
  });

  it('names what is wrong with its files', () => {
    const file = path.join(testFolder(), 'tokenizer.json');
    expect(() => LlamaTokenizer.load(testFolder())).to.throw(`${file}: cannot be read`);
    fs.writeFileSync(file, '{}');
    expect(() => LlamaTokenizer.load(testFolder())).to.throw(
      `${file}: model must be an object but is missing`,
    );
  });

  type Json = Record<string, unknown> & {model: {vocab: Record<string, unknown>; merges: unknown[]}};
  const spoiled: [string, (json: Json) => void, string][] = [
    [
      'a token without an id',
      ({model}) => (model.vocab.a = 'x'),
      'model.vocab.a must be a whole number >= 0',
    ],
    ['an id above int32', ({model}) => (model.vocab.a = 2 ** 31), 'model.vocab.a must be at most'],
    [
      'an id so large that loading would take minutes',
      ({model}) => (model.vocab.a = 2 ** 31 - 1),
      'model.vocab.a must be below 16777216',
    ],
    [
      'an added token with such an id',
      (json) => (json.added_tokens = [{id: 2 ** 31 - 1, content: 'a'}]),
      'added_tokens must be a list of tokens with an id and a content',
    ],
    [
      'a merge of one token',
      ({model}) => (model.merges[0] = ['a']),
      'model.merges must be a list of pairs of tokens',
    ],
    [
      'an added token without a text',
      (json) => (json.added_tokens = [{id: 0}]),
      'added_tokens must be a list of tokens with an id and a content',
    ],
    ['a decoder of no type', (json) => (json.decoder = {}), 'decoder.type must be a text but is missing'],
    [
      'an unknown normalizer',
      (json) => (json.normalizer = {type: 'Magic'}),
      "normalizer must be a Hugging Face tokenizer's: ",
    ],
    [
      'a decoder that fails when it is used',
      (json) =>
        (json.decoder = {
          type: 'Sequence',
          decoders: [{type: 'Replace', pattern: {Regex: '('}, content: ''}],
        }),
      "decoder must be a Hugging Face tokenizer's: ",
    ],
    [
      'an invalid pattern',
      (json) => (json.pre_tokenizer = {type: 'Split', pattern: 7, behavior: 'Isolated'}),
      'pre_tokenizer must be an object whose patterns are {"String": text} or {"Regex": text}',
    ],
  ];
  for (const [what, spoil, message] of spoiled) {
    it(`refuses ${what}, naming the field`, () => {
      writeLlama2(testFolder());
      const file = path.join(testFolder(), 'tokenizer.json');
      const json = JSON.parse(fs.readFileSync(file, 'utf8')) as Json;
      spoil(json);
      fs.writeFileSync(file, JSON.stringify(json));
      expect(() => LlamaTokenizer.load(testFolder())).to.throw(`${file}: ${message}`);
    });
  }

  it('refuses end tokens that are not texts, and texts with tokens outside the vocabulary', () => {
    writeLlama2(testFolder());
    const config = path.join(testFolder(), 'tokenizer_config.json');
    fs.writeFileSync(config, JSON.stringify({eos_token: {content: 7}}));
    expect(() => LlamaTokenizer.load(testFolder())).to.throw(`${config}: eos_token must be a token but is `);
    fs.writeFileSync(config, '{}');
    const file = path.join(testFolder(), 'tokenizer.json');
    const text = fs.readFileSync(file, 'utf8');
    fs.writeFileSync(
      file,
      text
        .replace('"unk_token":"<unk>"', '"unk_token":"<none>"')
        .replace('"byte_fallback":true', '"byte_fallback":false'),
    );
    const unsure = LlamaTokenizer.load(testFolder());
    expect(unsure.encode('a')).to.deep.equal([1, 262]);
    expect(() => unsure.encode('☂')).to.throw(
      `${file}: model.vocab must hold every token that texts may have`,
    );
  });

  it('takes no longer than linear time, or nearly so, over long runs', () => {
    writeLlama2(testFolder());
    for (const one of [tokenizer, LlamaTokenizer.load(testFolder())])
      for (const run of [' ', ' a', '½']) {
        const start = process.cpuUsage();
        const ids = one.encode(run.repeat(128_000 / run.length));
        expect(one.decode(ids).length).to.be.at.least(127_999);
        const {user, system} = process.cpuUsage(start);
        expect((user + system) / 1e6, JSON.stringify(run)).to.be.lessThan(3);
      }
  });

  it('recognises a text far longer than a context by its beginning', () => {
    expect(tokenizer.isFarLongerThan('a'.repeat(2 ** 24), 1000)).to.equal(true);
    expect(tokenizer.isFarLongerThan('the '.repeat(1000), 1000)).to.equal(false);
    expect(tokenizer.isFarLongerThan('', 0)).to.equal(false);
  });
});

describe('StreamDecoder', () => {
  const tokenizers: [string, () => LlamaTokenizer, number][] = [
    ['byte-level', () => LlamaTokenizer.load(folder), 4096],
    [
      'byte fallback',
      () => {
        writeLlama2(testFolder());
        return LlamaTokenizer.load(testFolder());
      },
      265,
    ],
  ];
  for (const [what, load, size] of tokenizers) {
    it(`gives pieces that join to the whole text, whatever the ids: ${what}`, () => {
      const tokenizer = load();
      // Low ids are bytes in both vocabularies. Many of them make broken characters likely.
      const id = fc.oneof(fc.nat(size + 2), fc.integer({min: 2, max: 258}));
      fc.assert(
        fc.property(fc.array(fc.array(id, {maxLength: 9}), {maxLength: 30}), (chunks) => {
          const {pieces, rest} = streamed(tokenizer, chunks);
          const ids = chunks.flat();
          const text = what === 'byte-level' ? tokenizer.decode(ids) : streamedLlama2(tokenizer, ids);
          expect(pieces.join('') + rest).to.equal(text);
        }),
        {numRuns: 400},
      );
    });

    it(`holds back a character until all its bytes have come: ${what}`, () => {
      const tokenizer = load();
      const ids = tokenizer.encode('a 🦙 b');
      const {pieces, rest} = streamed(
        tokenizer,
        ids.map((one) => [one]),
      );
      expect(pieces.join('')).to.equal('a 🦙 b');
      expect(pieces.every((piece) => !piece.includes('\ufffd'))).to.equal(true);
      expect(rest).to.equal('');
    });
  }

  for (const [what, load] of tokenizers)
    it(`continues a prompt with the rest of the text, a leading space included: ${what}`, () => {
      const tokenizer = load();
      const text = fc.string({unit: fc.constantFrom('a', 'b', ' ', 'é', '🦙', 'ab', ' a'), maxLength: 40});
      fc.assert(
        fc.property(text, fc.nat(60), (whole, cut) => {
          const ids = tokenizer.encode(whole);
          const before = ids.slice(0, cut);
          const prompt = tokenizer.decode(before);
          fc.pre(!prompt.endsWith('\ufffd')); // a prompt is text and does not end within a character
          const stream = tokenizer.stream(before);
          const pieces = ids.slice(cut).map((id) => stream.push([id]));
          expect(prompt + pieces.join('') + stream.flush()).to.equal(tokenizer.decode(ids));
        }),
        {numRuns: 400},
      );
    });

  it("keeps the space that SentencePiece's decoder takes from a text's beginning", () => {
    writeLlama2(testFolder());
    const llama2 = LlamaTokenizer.load(testFolder());
    const [bos, a, b] = llama2.encode('a b');
    expect(llama2.stream([bos, a]).push([b])).to.equal(' b');
    expect(llama2.stream([bos]).push([b])).to.equal('b');
  });

  it('gives what is left of a broken character at the end', () => {
    const tokenizer = LlamaTokenizer.load(folder);
    const broken = tokenizer.encode('🦙').slice(0, -1);
    const {pieces, rest} = streamed(tokenizer, [broken]);
    expect(pieces).to.deep.equal(['']);
    expect(rest).to.equal('\ufffd');
  });

  it('decodes in linear time: only a few tokens for each id', () => {
    const tokenizer = LlamaTokenizer.load(folder);
    const decode = tokenizer.decode.bind(tokenizer);
    let decoded = 0;
    tokenizer.decode = (ids) => {
      decoded += ids.length;
      return decode(ids);
    };
    const stream = tokenizer.stream();
    for (let i = 0; i < 2000; i++) stream.push([2 + (i % 250)]);
    expect(decoded / 2000).to.be.lessThan(40);
  });
});

describe('tokens beside tokenizer.json', () => {
  const flags = {special: true, normalized: false, lstrip: false, rstrip: false, single_word: false};
  const write = (name: string, json: object) =>
    fs.writeFileSync(path.join(testFolder(), name), JSON.stringify(json));

  it('are those of added_tokens_decoder, by which special_tokens_map.json counts for nothing', () => {
    writeLlama2(testFolder());
    write('special_tokens_map.json', {eos_token: '<s>'});
    write('tokenizer_config.json', {
      eos_token: '</s>',
      added_tokens_decoder: {
        265: {...flags, content: '<|new|>'},
        266: {...flags, content: '<b>', special: false},
      },
    });
    const tokenizer = LlamaTokenizer.load(testFolder());
    expect([...tokenizer.eosIds]).to.deep.equal([2]);
    const ids = tokenizer.encode('a<|new|>b<b>');
    expect(ids).to.deep.equal([1, 262, 265, 263, 266]);
    expect(tokenizer.decode(ids)).to.equal('a b<b>');
    expect(tokenizer.specialTokens().get(265)).to.equal('<|new|>');
  });

  it('are those of special_tokens_map.json, which stands above the config', () => {
    writeLlama2(testFolder());
    write('special_tokens_map.json', {eos_token: {...flags, content: '<|end|>'}});
    const tokenizer = LlamaTokenizer.load(testFolder());
    expect([...tokenizer.eosIds]).to.deep.equal([265]);
    expect(tokenizer.encode('a<|end|>')).to.deep.equal([1, 262, 265]);
  });

  it('are refused by their file and field', () => {
    writeLlama2(testFolder());
    write('tokenizer_config.json', {added_tokens_decoder: {265: {...flags, content: 7}}});
    const config = path.join(testFolder(), 'tokenizer_config.json');
    expect(() => LlamaTokenizer.load(testFolder())).to.throw(
      `${config}: added_tokens_decoder.265.content must be a text but is 7`,
    );
  });
});

describe('sharedVocabulary', () => {
  /** A copy of the fixture's tokenizer whose file was changed; each has a folder of its own in the test's folder. */
  const changed = (name: string, change: (json: TokenizerJson) => void): LlamaTokenizer => {
    const dir = path.join(testFolder(), name);
    fs.cpSync(folder, dir, {recursive: true});
    const file = path.join(dir, 'tokenizer.json');
    const json = JSON.parse(fs.readFileSync(file, 'utf8')) as TokenizerJson;
    change(json);
    fs.writeFileSync(file, JSON.stringify(json));
    return LlamaTokenizer.load(dir);
  };
  interface TokenizerJson {
    model: {vocab: Record<string, number>; merges: [string, string][]};
    added_tokens: {id: number; content: string; special: boolean}[];
  }
  const adding =
    (...tokens: [id: number, content: string][]) =>
    ({added_tokens: added}: TokenizerJson) => {
      for (const [id, content] of tokens) added.push({id, content, special: true});
    };
  const size = Math.max(...LlamaTokenizer.load(folder).vocabulary().keys()) + 1;

  it('is all of the embedded pair', () => {
    const [draft, verifier] = ['draft', 'verifier'].map((role) =>
      LlamaTokenizer.load(path.join(PRETRAINED, role)),
    );
    expect(draft.sameVocabulary(verifier)).to.equal(true);
    expect(sharedVocabulary(draft, verifier)).to.equal(Infinity);
  });

  it('names the first token that differs', () => {
    const draft = LlamaTokenizer.load(folder);
    const token = (id: number) => JSON.stringify(draft.vocabulary().get(id));
    const verifier = changed('swapped', ({model: {vocab}}) => {
      for (const [text, id] of Object.entries(vocab)) if (id === 100 || id === 101) vocab[text] = 201 - id;
    });
    expect(draft.sameVocabulary(verifier)).to.equal(false);
    expect(() => sharedVocabulary(draft, verifier)).to.throw(
      `draft and verifier must share a vocabulary, but token 100 is ${token(100)} in ${folder} and ${token(101)} in ${verifier.dir}`,
    );
  });

  it('ends where one of them has no more tokens', () => {
    const plain = LlamaTokenizer.load(folder);
    const longer = changed('longer', adding([size, '<|im_start|>'], [size + 1, '<|im_end|>']));
    expect(plain.sameVocabulary(longer)).to.equal(false);
    expect(sharedVocabulary(plain, longer)).to.equal(size);
    expect(sharedVocabulary(longer, plain)).to.equal(size);
    expect(sharedVocabulary(longer, longer)).to.equal(Infinity);
    const one = changed('one', adding([size, '<|im_start|>']));
    expect(sharedVocabulary(one, longer)).to.equal(size + 1);
  });

  it('lets an added token have another name, but not one of the vocabulary', () => {
    const reserved = changed('reserved', adding([size, '<|reserved_0|>'], [size + 1, '<|end|>']));
    const renamed = changed('renamed', adding([size, '<think>'], [size + 1, '<|end|>']));
    expect(reserved.sameVocabulary(renamed)).to.equal(false);
    expect(sharedVocabulary(reserved, renamed)).to.equal(size + 2);
    const other = changed('other', ({model, added_tokens: added}) => {
      const [text, id] = Object.entries(model.vocab).find(([, id]) => id === size - 1)!;
      delete model.vocab[text];
      model.vocab['another token'] = id;
      model.merges = model.merges.filter((pair) => pair.join('') !== text && !pair.includes(text));
      adding([size, '<think>'], [size + 1, '<|end|>'])({model, added_tokens: added});
    });
    expect(() => sharedVocabulary(renamed, other)).to.throw(`token ${size - 1} is `);
  });
});

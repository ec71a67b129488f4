import {expect} from 'chai';
import * as fs from 'node:fs';
import * as path from 'node:path';

import {readConfig} from '../../models/hf/config.js';
import {copyModel, testFolder} from './folder.js';
import {PRETRAINED, readGolden} from './golden.js';

const gqa = readGolden('gqa_linear_f16').model;
const read = (changes: Record<string, unknown>, from = gqa) => readConfig(copyModel(from, changes));

describe('readConfig', () => {
  it('reads the embedded verifier', () => {
    const {sha256, ...config} = readConfig(path.join(PRETRAINED, 'verifier'));
    expect(config).to.deep.equal({
      vocabSize: 4096,
      hiddenSize: 320,
      intermediateSize: 896,
      numHiddenLayers: 8,
      numAttentionHeads: 5,
      numKeyValueHeads: 5,
      headDim: 64,
      maxPositionEmbeddings: 4096,
      rmsNormEps: 1e-5,
      ropeTheta: 10000,
      ropeScaling: {type: 'default'},
      tieWordEmbeddings: true,
      attentionBias: false,
      mlpBias: false,
      bosTokenId: 0,
      eosTokenIds: [1],
    });
    expect(sha256).to.match(/^[0-9a-f]{64}$/);
  });

  it('fills in what older configs leave out', () => {
    const changes = {
      ...{num_key_value_heads: undefined, head_dim: null, rope_theta: undefined, rope_scaling: null},
      ...{
        hidden_act: undefined,
        tie_word_embeddings: undefined,
        architectures: undefined,
        eos_token_id: undefined,
      },
    };
    expect(read(changes)).to.deep.include({
      numKeyValueHeads: 4,
      headDim: 8,
      ropeTheta: 10000,
      ropeScaling: {type: 'default'},
      tieWordEmbeddings: false,
      eosTokenIds: [],
    });
  });

  it('reads rope_scaling and rope_parameters alike', () => {
    const linear = {type: 'linear', factor: 4};
    expect(read({rope_theta: 5000, rope_scaling: {type: 'linear', factor: 4}})).to.deep.include({
      ropeTheta: 5000,
      ropeScaling: linear,
    });
    const rope_parameters = {rope_type: 'linear', factor: 4, rope_theta: 5000};
    const newer = read({rope_theta: undefined, rope_scaling: undefined, rope_parameters});
    expect(newer).to.deep.include({ropeTheta: 5000, ropeScaling: linear});
  });

  it('takes one EOS or several, from both files', () => {
    const dir = copyModel(gqa, {eos_token_id: [2, 5]});
    expect(readConfig(dir).eosTokenIds).to.deep.equal([2, 5]);
    fs.writeFileSync(path.join(dir, 'generation_config.json'), '{"eos_token_id": [5, 7]}');
    expect(readConfig(dir).eosTokenIds).to.deep.equal([2, 5, 7]);
    fs.writeFileSync(path.join(dir, 'generation_config.json'), '{"eos_token_id": 9}');
    expect(readConfig(dir).eosTokenIds).to.deep.equal([2, 5, 9]);
  });

  it('hashes the content, not the layout', () => {
    const {sha256} = read({});
    const file = path.join(testFolder(), 'config.json');
    const config = JSON.parse(fs.readFileSync(file, 'utf8')) as object;
    const reversed = Object.fromEntries(Object.entries(config).reverse());
    fs.writeFileSync(file, JSON.stringify(reversed, null, 7));
    expect(readConfig(testFolder()).sha256).to.equal(sha256);
    expect(read({rope_scaling: {type: 'linear', factor: 5}}).sha256).not.to.equal(sha256);
  });

  const refused: [Record<string, unknown>, string][] = [
    [
      {architectures: ['MistralForCausalLM']},
      'architectures must be ["LlamaForCausalLM"] but is ["MistralForCausalLM"]',
    ],
    [{architectures: undefined, model_type: 'gemma'}, 'model_type must be "llama" but is "gemma"'],
    [{hidden_act: 'gelu'}, 'hidden_act must be "silu" but is "gelu"'],
    [
      {quantization_config: {bits: 4}},
      'quantization_config must be left out (float weights only) but is {"bits":4}',
    ],
    [{hidden_size: '32'}, 'hidden_size must be a whole number >= 1 but is "32"'],
    [{vocab_size: undefined}, 'vocab_size must be a whole number >= 1 but is missing'],
    [{vocab_size: 2 ** 31}, 'vocab_size must be at most 2147483647 but is 2147483648'],
    [{eos_token_id: [1, 2 ** 31]}, 'eos_token_id must be a token id or a list of them but is [1,2147483648]'],
    [{num_hidden_layers: 0}, 'num_hidden_layers must be a whole number >= 1 but is 0'],
    [{num_key_value_heads: 3}, 'num_key_value_heads must be a divisor of num_attention_heads (4) but is 3'],
    [{hidden_size: 33}, 'hidden_size must be a multiple of num_attention_heads (4) but is 33'],
    [{head_dim: 7}, 'head_dim must be even but is 7'],
    [{rms_norm_eps: -1}, 'rms_norm_eps must be a number > 0 but is -1'],
    [{tie_word_embeddings: 'yes'}, 'tie_word_embeddings must be true or false but is "yes"'],
    [{eos_token_id: '</s>'}, 'eos_token_id must be a token id or a list of them but is "</s>"'],
    [{rope_scaling: [1]}, 'rope_scaling must be an object but is [1]'],
    [
      {rope_scaling: {type: 'dynamic', factor: 2}},
      'rope_scaling.type must be "default", "linear", "llama3" or "yarn" but is "dynamic"',
    ],
    [{rope_scaling: {rope_type: 'linear'}}, 'rope_scaling.factor must be a number > 0 but is missing'],
    [
      {rope_scaling: {rope_type: 'default', partial_rotary_factor: 0.5}},
      'rope_scaling.partial_rotary_factor must be 1 but is 0.5',
    ],
    [
      {rope_scaling: {rope_type: 'llama3', factor: 8, low_freq_factor: 4, high_freq_factor: 4}},
      'rope_scaling.high_freq_factor must be more than low_freq_factor (4) but is 4',
    ],
  ];
  for (const [changes, message] of refused) {
    it(`refuses ${JSON.stringify(changes)}`, () => {
      expect(() => read(changes)).to.throw(`${path.join(testFolder(), 'config.json')}: ${message}`);
    });
  }

  it('names a file that is missing or no JSON object', () => {
    const file = path.join(testFolder(), 'config.json');
    expect(() => readConfig(testFolder())).to.throw(`${file}: cannot be read: ENOENT`);
    fs.writeFileSync(file, '{"a":');
    expect(() => readConfig(testFolder())).to.throw(`${file}: must be JSON`);
    fs.writeFileSync(file, '[]');
    expect(() => readConfig(testFolder())).to.throw(`${file}: must be a JSON object but is []`);
    fs.writeFileSync(file, Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]));
    expect(() => readConfig(testFolder())).to.throw(`${file}: must be JSON: The encoded data was not valid`);
    fs.writeFileSync(file, `{"a":${'['.repeat(100_000)}${']'.repeat(100_000)}}`);
    expect(() => readConfig(testFolder())).to.throw(`${file}: must be nested 64 deep at most`);
    fs.writeFileSync(file, '{"hidden_size": 32, "hidden_size": 64}');
    expect(() => readConfig(testFolder())).to.throw(
      `${file}: must give every name once but gives "hidden_size" twice`,
    );
    fs.rmSync(file);
    fs.mkdirSync(file);
    expect(() => readConfig(testFolder())).to.throw(`${file}: cannot be read: it is no file`);
  });
});

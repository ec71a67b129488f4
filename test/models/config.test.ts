import {expect} from 'chai';
import * as fs from 'node:fs';
import * as path from 'node:path';

import {ARCHITECTURES, holdsFor} from '../../models/architectures.js';
import {readConfig, type LlamaConfig} from '../../models/hf/config.js';
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
      qkvBias: false,
      outBias: false,
      mlpBias: false,
      qkNorm: false,
      slidingWindow: undefined,
      noRotary: [],
      attentionScale: 0,
      embeddingMultiplier: 1,
      residualMultiplier: 1,
      logitsScaling: 1,
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

  it('takes a negative token id for none', () => {
    const dir = copyModel(gqa, {bos_token_id: -1, eos_token_id: [-1, 5]});
    fs.writeFileSync(path.join(dir, 'generation_config.json'), '{"eos_token_id": -1}');
    expect(readConfig(dir)).to.deep.include({bosTokenId: undefined, eosTokenIds: [5]});
  });

  it('takes the last of two values of one name, as Python does', () => {
    const dir = copyModel(gqa);
    const file = path.join(dir, 'config.json');
    fs.writeFileSync(file, fs.readFileSync(file, 'utf8').replace('{', '{"vocab_size": 7,'));
    expect(readConfig(dir).vocabSize).to.equal(99);
    fs.writeFileSync(file, fs.readFileSync(file, 'utf8').replace(/}\s*$/, ', "vocab_size": 8}'));
    expect(readConfig(dir).vocabSize).to.equal(8);
  });

  describe("fills in an architecture's defaults:", () => {
    const layers = (config: LlamaConfig) =>
      Array.from({length: 5}, (_, i) => [
        config.slidingWindow && holdsFor(config.slidingWindow.layers, i) ? config.slidingWindow.size : 0,
        holdsFor(config.noRotary, i),
      ]);
    const plain = [0, false];
    const none = {num_key_value_heads: undefined, max_position_embeddings: undefined, rope_theta: undefined};
    const rope = {rope_scaling: undefined, tie_word_embeddings: undefined, head_dim: undefined};
    const bare = {...none, ...rope, num_hidden_layers: 5};
    const wide = {num_attention_heads: 64, hidden_size: 64 * 8};
    const qwen = {...wide, num_hidden_layers: 5, use_sliding_window: true};
    const cases: [
      name: string,
      architecture: string,
      Record<string, unknown>,
      Partial<LlamaConfig>,
      ReturnType<typeof layers>,
    ][] = [
      [
        'Mistral',
        'MistralForCausalLM',
        {...bare, ...wide},
        {numKeyValueHeads: 8, maxPositionEmbeddings: 131072, ropeTheta: 10000, qkvBias: false},
        Array(5).fill([4096, false]),
      ],
      [
        'Mistral, which has biases for no field',
        'MistralForCausalLM',
        {attention_bias: true, mlp_bias: true, sliding_window: null, num_key_value_heads: null},
        {numKeyValueHeads: 4, qkvBias: false, outBias: false, mlpBias: false},
        Array(5).fill(plain),
      ],
      [
        'Qwen2',
        'Qwen2ForCausalLM',
        {...bare, ...wide},
        {numKeyValueHeads: 32, maxPositionEmbeddings: 32768, headDim: 8, qkvBias: true, outBias: false},
        Array(5).fill(plain),
      ],
      [
        'Qwen2, a window from layer 28 on',
        'Qwen2ForCausalLM',
        {...qwen, num_hidden_layers: 30, sliding_window: undefined},
        {slidingWindow: {size: 4096, layers: {from: 28}}},
        Array(5).fill(plain),
      ],
      [
        'Qwen3',
        'Qwen3ForCausalLM',
        {...bare, ...wide},
        {headDim: 128, qkNorm: true, qkvBias: false, tieWordEmbeddings: false},
        Array(5).fill(plain),
      ],
      [
        'Qwen3 with listed layers',
        'Qwen3ForCausalLM',
        {
          ...qwen,
          sliding_window: 9,
          layer_types: ['full', 'sliding', 'full', 'sliding', 'full'].map((x) => `${x}_attention`),
        },
        {qkNorm: true},
        [plain, [9, false], plain, [9, false], plain],
      ],
      [
        'SmolLM3',
        'SmolLM3ForCausalLM',
        bare,
        {numKeyValueHeads: 4, ropeTheta: 2000000, tieWordEmbeddings: true, maxPositionEmbeddings: 32768},
        [plain, plain, plain, [0, true], plain],
      ],
      [
        'SmolLM3 with windows where there is no rotary embedding',
        'SmolLM3ForCausalLM',
        {num_hidden_layers: 5, no_rope_layers: [1, 0, 1, 1, 0], use_sliding_window: true, sliding_window: 3},
        {},
        [plain, [3, true], plain, plain, [3, true]],
      ],
      [
        'Granite',
        'GraniteForCausalLM',
        {residual_multiplier: 0.5},
        {attentionScale: 1, residualMultiplier: 0.5, embeddingMultiplier: 1, logitsScaling: 1},
        Array(5).fill(plain),
      ],
      ['Llama, which has no window', 'LlamaForCausalLM', {sliding_window: 5}, {}, Array(5).fill(plain)],
    ];
    for (const [name, architecture, changes, expected, expectedLayers] of cases)
      it(name, () => {
        const config = read({architectures: [architecture], ...changes});
        expect(config).to.deep.include(expected);
        expect(layers(config)).to.deep.equal(expectedLayers);
        // The same without the class, by its model type.
        const model_type = ARCHITECTURES[architecture].modelType;
        const {sha256: _, ...again} = read({architectures: undefined, model_type, ...changes});
        const {sha256: __, ...first} = config;
        expect(again).to.deep.equal(first);
      });
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
      {architectures: ['GemmaForCausalLM']},
      'architectures must be a list with one of LlamaForCausalLM, MistralForCausalLM, Qwen2ForCausalLM, Qwen3ForCausalLM, SmolLM3ForCausalLM, GraniteForCausalLM but is ["GemmaForCausalLM"]',
    ],
    [
      {architectures: undefined, model_type: 'gemma'},
      'model_type must be one of llama, mistral, qwen2, qwen3, smollm3, granite but is "gemma"',
    ],
    [
      {architectures: ['MistralForCausalLM'], sliding_window: 0},
      'sliding_window must be a whole number >= 1 but is 0',
    ],
    [
      {
        architectures: ['Qwen2ForCausalLM'],
        use_sliding_window: true,
        layer_types: ['full_attention', 'chunked'],
      },
      'layer_types must be a list of "full_attention" and "sliding_attention" but is ["full_attention","chunked"]',
    ],
    [
      {architectures: ['Qwen2ForCausalLM'], use_sliding_window: true, layer_types: ['full_attention']},
      'layer_types must be a list for each of the num_hidden_layers (3) but is ["full_attention"]',
    ],
    [
      {architectures: ['Qwen2ForCausalLM'], layer_types: Array(3).fill('sliding_attention')},
      'layer_types must be "full_attention" for each layer where there is no sliding window but is ["sliding_attention"',
    ],
    [
      {architectures: ['SmolLM3ForCausalLM'], no_rope_layers: [0, 1]},
      'no_rope_layers must be a list for each of the num_hidden_layers (3) but is [0,1]',
    ],
    [
      {architectures: ['GraniteForCausalLM'], residual_multiplier: 0},
      'residual_multiplier must be a number > 0 but is 0',
    ],
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
      {rope_scaling: {type: 'mrope', factor: 2}},
      'rope_scaling.type must be one of "default", "linear", "dynamic", "proportional", "llama3", "yarn", "longrope" but is "mrope"',
    ],
    [{rope_scaling: {type: 'dynamic'}}, 'rope_scaling.factor must be a number > 0 but is missing'],
    [
      {rope_scaling: {type: 'longrope', factor: 2, short_factor: [1, 1, 1, 1], long_factor: [1, 1]}},
      'rope_scaling.long_factor must be a list of 4 numbers > 0, one for two channels of a head, but is [1,1]',
    ],
    [
      {rope_scaling: undefined, rope_parameters: {full_attention: {rope_type: 'default'}}},
      'rope_parameters.full_attention must be left out (all layers have one kind of rotary embedding) but is',
    ],
    [{rope_scaling: {rope_type: 'linear'}}, 'rope_scaling.factor must be a number > 0 but is missing'],
    [
      {rope_scaling: {rope_type: 'linear', factor: 2, partial_rotary_factor: 0.5}},
      'rope_scaling.partial_rotary_factor must be 1 where rope_type is "linear" but is 0.5',
    ],
    [
      {rope_scaling: {rope_type: 'proportional', partial_rotary_factor: 1.5}},
      'rope_scaling.partial_rotary_factor must be at most 1 but is 1.5',
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
    fs.rmSync(file);
    fs.mkdirSync(file);
    expect(() => readConfig(testFolder())).to.throw(`${file}: cannot be read: it is no file`);
  });
});

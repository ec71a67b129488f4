/** Fuzz target: config.json and generation_config.json. */
import * as fc from 'fast-check';

import {readConfig} from '../../../models/hf/config.js';
import {ropeFrequencies} from '../../../models/llama/rope.js';
import {hostileJson, hostileValue, namesField, type HostileFile} from '../hostile.js';
import type {Target} from '../target.js';
import {CaseFolder} from './folder.js';

const PLAIN = {
  ...{
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    vocab_size: 99,
    hidden_size: 32,
    hidden_act: 'silu',
  },
  ...{
    intermediate_size: 48,
    num_hidden_layers: 2,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    head_dim: 8,
  },
  ...{max_position_embeddings: 96, rms_norm_eps: 1e-5, rope_theta: 10000, tie_word_embeddings: false},
  ...{attention_bias: false, mlp_bias: false, bos_token_id: 0, eos_token_id: [1, 2]},
};
const ROPES = [
  {rope_type: 'default'},
  {type: 'linear', factor: 2},
  {
    ...{rope_type: 'llama3', factor: 8, low_freq_factor: 1, high_freq_factor: 4},
    ...{original_max_position_embeddings: 32, rope_theta: 500000},
  },
  {
    ...{
      rope_type: 'yarn',
      factor: 4,
      beta_fast: 32,
      beta_slow: 1,
      mscale: 1,
      mscale_all_dim: 1,
      truncate: true,
    },
    ...{attention_factor: 1.1, original_max_position_embeddings: 24},
  },
];

/** Fields that may be refused because another field was changed. */
const RELATED = {
  num_key_value_heads: ['num_attention_heads'],
  hidden_size: ['num_attention_heads', 'head_dim'],
  head_dim: ['hidden_size', 'num_attention_heads'],
  model_type: ['architectures'],
  rope_scaling: ['max_position_embeddings'],
  rope_parameters: ['max_position_embeddings'],
};

interface Input {
  config: HostileFile;
  generation?: unknown;
}

const folder = new CaseFolder();
/** For larger head sizes, which no model has, frequencies are not computed. Such a model's weights would have to be as large too. */
const MOST_CHANNELS = 4096;

export const config: Target<Input> = {
  name: 'config.json',
  share: 15,
  input: fc.record({
    config: fc
      .constantFrom(
        PLAIN,
        ...ROPES.flatMap((rope) => [
          {...PLAIN, rope_scaling: rope},
          {...PLAIN, rope_parameters: rope},
        ]),
      )
      .chain(hostileJson),
    generation: fc.option(fc.record({eos_token_id: hostileValue}), {nil: undefined, freq: 2}),
  }),
  run: (input) => {
    folder.write('config.json', input.config.bytes);
    folder.write('generation_config.json', JSON.stringify(input.generation ?? {}));
    const read = readConfig(folder.path);
    if (read.headDim <= MOST_CHANNELS) ropeFrequencies(read);
  },
  names: (message, input) =>
    namesField(message, folder.file('config.json'), input.config, RELATED) ||
    message.startsWith(`${folder.file('generation_config.json')}: eos_token_id must be `),
  tearDown: () => folder.remove(),
};

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
/** The other architectures, with the fields that they alone have. */
const OTHERS = [
  {...PLAIN, architectures: ['MistralForCausalLM'], sliding_window: 7},
  {
    ...{...PLAIN, architectures: ['Qwen2ForCausalLM'], use_sliding_window: true, sliding_window: 7},
    ...{max_window_layers: 1},
  },
  {
    ...{...PLAIN, architectures: ['Qwen3ForCausalLM'], use_sliding_window: true, sliding_window: 7},
    ...{layer_types: ['full_attention', 'sliding_attention']},
  },
  {...PLAIN, architectures: ['SmolLM3ForCausalLM'], no_rope_layers: [1, 0], no_rope_layer_interval: 2},
  {
    ...{...PLAIN, architectures: ['GraniteForCausalLM'], embedding_multiplier: 12, residual_multiplier: 0.2},
    ...{attention_multiplier: 0.1, logits_scaling: 8},
  },
];
const ROPES = [
  {rope_type: 'default'},
  {type: 'linear', factor: 2},
  {type: 'dynamic', factor: 2},
  {rope_type: 'proportional', factor: 2, partial_rotary_factor: 0.5},
  {
    ...{rope_type: 'longrope', factor: 2, short_factor: [1, 1.5, 2, 3], long_factor: [1, 2, 4, 8]},
    ...{original_max_position_embeddings: 32},
  },
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
  layer_types: ['num_hidden_layers', 'use_sliding_window', 'sliding_window'],
  no_rope_layers: ['num_hidden_layers'],
  rope_scaling: ['max_position_embeddings', 'head_dim', 'hidden_size', 'num_attention_heads'],
  rope_parameters: ['max_position_embeddings', 'head_dim', 'hidden_size', 'num_attention_heads'],
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
        ...OTHERS,
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
    if (read.headDim <= MOST_CHANNELS) ropeFrequencies(read, true);
  },
  names: (message, input) =>
    namesField(message, folder.file('config.json'), input.config, RELATED) ||
    message.startsWith(`${folder.file('generation_config.json')}: eos_token_id must be `),
  tearDown: () => folder.remove(),
};

/**
 * The architectures that models may have. They share one graph (`models/llama/graph.ts`); what differs stands here as
 * data, which `models/hf/config.ts` reads together with a folder's config.json.
 */

/** A field of config.json that says whether a model has something, or the answer for every model. */
export type FlagSource = boolean | 'attention_bias' | 'mlp_bias';

/**
 * Which layers have a sliding window of `sliding_window` keys:
 *
 * | rule | layers |
 * |---|---|
 * | `none` | none; `sliding_window` is not read |
 * | `all` | every layer, unless `sliding_window` is null |
 * | `from_layer` | with `use_sliding_window` those of `layer_types`, or from `max_window_layers` on |
 * | `without_rotary` | those of `layer_types`, or with `use_sliding_window` those without rotary embedding |
 */
export type WindowRule = 'none' | 'all' | 'from_layer' | 'without_rotary';

export interface Architecture {
  /** config.json's `model_type`, which names the architecture where `architectures` is missing. */
  readonly modelType: string;
  /** What transformers takes for a field that config.json leaves out. */
  readonly defaults: {
    /** Left out: the number of query heads. */
    readonly numKeyValueHeads?: number;
    /** Left out: the width by the number of query heads. */
    readonly headDim?: number;
    readonly maxPositionEmbeddings: number;
    readonly ropeTheta: number;
    readonly tieWordEmbeddings: boolean;
    /** `sliding_window` of the rules that read it; left out: null. */
    readonly slidingWindow?: number;
  };
  /** Biases of the projections to queries, keys and values, of the attention's output, and of the MLP. */
  readonly qkvBias: FlagSource;
  readonly outBias: FlagSource;
  readonly mlpBias: FlagSource;
  /** Whether each query and key head has an RMSNorm before its rotation. */
  readonly qkNorm: boolean;
  readonly window: WindowRule;
  /** Whether `no_rope_layers` or `no_rope_layer_interval` say that some layers have no rotary embedding. */
  readonly noRotary: boolean;
  /** Whether embeddings, scores, residual branches and logits are scaled by fields of config.json. */
  readonly multipliers: boolean;
}

const LLAMA: Architecture = {
  modelType: 'llama',
  defaults: {maxPositionEmbeddings: 2048, ropeTheta: 10000, tieWordEmbeddings: false},
  qkvBias: 'attention_bias',
  outBias: 'attention_bias',
  mlpBias: 'mlp_bias',
  qkNorm: false,
  window: 'none',
  noRotary: false,
  multipliers: false,
};

const QWEN2: Architecture = {
  ...LLAMA,
  modelType: 'qwen2',
  defaults: {...LLAMA.defaults, numKeyValueHeads: 32, maxPositionEmbeddings: 32768, slidingWindow: 4096},
  qkvBias: true,
  outBias: false,
  mlpBias: false,
  window: 'from_layer',
};

/** What differs in each architecture, by the class that config.json's `architectures` names. Source: transformers 5.17. */
export const ARCHITECTURES: Readonly<Record<string, Architecture>> = {
  LlamaForCausalLM: LLAMA,
  MistralForCausalLM: {
    ...LLAMA,
    modelType: 'mistral',
    defaults: {...LLAMA.defaults, numKeyValueHeads: 8, maxPositionEmbeddings: 131072, slidingWindow: 4096},
    qkvBias: false,
    outBias: false,
    mlpBias: false,
    window: 'all',
  },
  Qwen2ForCausalLM: QWEN2,
  Qwen3ForCausalLM: {
    ...QWEN2,
    modelType: 'qwen3',
    defaults: {...QWEN2.defaults, headDim: 128},
    qkvBias: 'attention_bias',
    outBias: 'attention_bias',
    qkNorm: true,
  },
  SmolLM3ForCausalLM: {
    ...LLAMA,
    modelType: 'smollm3',
    defaults: {
      numKeyValueHeads: 4,
      maxPositionEmbeddings: 32768,
      ropeTheta: 2000000,
      tieWordEmbeddings: true,
    },
    window: 'without_rotary',
    noRotary: true,
  },
  GraniteForCausalLM: {...LLAMA, modelType: 'granite', multipliers: true},
};

/** Which layers have something: a list with an answer for each layer, or a rule, since a hostile config may claim a billion. */
export type LayerRule = readonly boolean[] | {readonly from: number} | {readonly every: number};

/** Whether `rule` holds for layer `i`. With `every` n it holds for the last one of n layers. */
export function holdsFor(rule: LayerRule, i: number): boolean {
  if (isList(rule)) return rule[i] ?? false;
  return 'from' in rule ? i >= rule.from : (i + 1) % rule.every === 0;
}

/** Whether the rule is a list. `Array.isArray` does not narrow a readonly list. */
function isList(rule: LayerRule): rule is readonly boolean[] {
  return Array.isArray(rule);
}

/** Whether `rule` holds for any layer of those that it may have. */
export function holdsForAny(rule: LayerRule): boolean {
  return !isList(rule) || rule.includes(true);
}

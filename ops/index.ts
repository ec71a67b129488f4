/** The ops that tfjs-core lacks. Importing this file registers their kernels and their GraphModel ops. */
export {causalAttention, type AttentionWeights, type CausalAttentionOptions} from './causal_attention.js';
export {kvCacheAppend} from './kv_cache_append.js';
export {linear, type LinearOptions} from './linear.js';
export {nucleusMask} from './nucleus_mask.js';
export {
  nucleusSelect,
  type NucleusSelectOptions,
  type NucleusUnion,
  type Selection,
} from './nucleus_select.js';
export {rmsNorm} from './rms_norm.js';
export {rotaryAppend} from './rotary_append.js';
export {rotaryEmbedding} from './rotary_embedding.js';
export {sampleToken, type SampleTokenOptions} from './sample_token.js';
export {sparseAttention, type SparseAttentionOptions} from './sparse_attention.js';
export {speculativeAccept} from './speculative_accept.js';
export {swiGLU} from './swiglu.js';
export {RandomStream} from './random.js';

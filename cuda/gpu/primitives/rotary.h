// Rotate: the launch that RotaryEmbedding and RotaryAppend share. kernels/rotary_append.cu defines it.
#pragma once
#include "gpu/runtime/stream.h"

namespace specattn {
namespace gpu {

// RotaryAppend's tensors, as kernels/rotary_append.h describes them. RotaryEmbedding has no KV heads (kv_heads is 0), no caches
// and no norms.
struct RotaryCall {
  int64_t rows, heads, kv_heads, capacity, size;  // T, H, G, C, D
  const float* qkv;
  const int32_t* position;
  const float* frequencies;
  float scale;
  float* q;
  void* k_cache;
  DType k_storage;
  void* v_cache;
  DType v_storage;
  const float *q_norm, *k_norm;  // both or neither
  float epsilon;
};

// Queues a call. `op` is the name for error messages.
Status Rotate(CudaStream& stream, const char* op, const RotaryCall& call);

}  // namespace gpu
}  // namespace specattn

// Rotate: what RotaryEmbedding and RotaryAppend launch.
#pragma once
#include "gpu/runtime/stream.h"

namespace specattn {
namespace gpu {

// RotaryAppend's tensors (kernels/rotary_append.h); RotaryEmbedding is the case without groups.
struct RotaryCall {
  int64_t rows, heads, groups, capacity, size;  // T, H, G, C, D
  const float* qkv;
  const int32_t* position;
  const float* frequencies;
  float scale;
  float* q;
  void* k_cache;
  DType k_storage;
  void* v_cache;
  DType v_storage;
};

Status Rotate(CudaStream& stream, const char* op, const RotaryCall& call);

}  // namespace gpu
}  // namespace specattn

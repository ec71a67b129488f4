// RotaryAppend: what a layer does between its first projection and its attention, in one launch. It does what RMSNorm (if
// there are norms), RotaryEmbedding and KVCacheAppend would do.
//
// A row t of qkv holds H query heads, G key heads and G value heads, each of size D. With norms each query head is first
// replaced by its RMSNorm with the weight qNorm, and each key head by its RMSNorm with kNorm.
//   q[t, h, :]                 = RotaryEmbedding(query head h) at position + t
//   kCache[g, position + t, :] = RotaryEmbedding(key head g) at position + t, narrowed to the cache's storage
//   vCache[g, position + t, :] = value head g, narrowed to the cache's storage
// Rows whose position is outside [0, C) are not written to the caches.
//
// inputs   qkv [T,(H+2G)*D] float32
//          position [1] int32: the position of row 0
//          frequencies [D/2] float32
//          kCache, vCache [G,C,D]: each float32, bfloat16 or float16; donated, and different buffers
//          qNorm, kNorm [D] float32: both, or neither
// attrs    scale: a factor of cos and sin (YaRN's, else 1)
//          epsilon: that of the norms
// outputs  q [T,H,D] float32
//          kCache, vCache [G,C,D]: the same buffers as the inputs
#pragma once
#include "core/check.h"

namespace specattn {
namespace {

struct RotaryAppendSizes {
  int64_t rows = 0, heads = 0, kv_heads = 0, capacity = 0, size = 0;  // T, H, G, C, D
};

inline Status CheckRotaryAppend(const Args& args, RotaryAppendSizes* sizes) {
  const char* op = "RotaryAppend";
  SPECATTN_RETURN_IF_ERROR(CheckCounts(op, args, args.input_count == 7 ? 7 : 5, 3, 2));
  const Tensor& qkv = args.inputs[0];
  const Tensor& k_cache = args.inputs[3];
  const Tensor& v_cache = args.inputs[4];
  SPECATTN_RETURN_IF_ERROR(CheckFloat(op, "kCache", k_cache));
  SPECATTN_RETURN_IF_ERROR(CheckShape(op, "kCache", k_cache, {kAnySize, kAnySize, kAnySize}));
  const int64_t kv_heads = k_cache.dims[0], capacity = k_cache.dims[1], size = k_cache.dims[2];
  SPECATTN_CHECK(size > 0 && size % 2 == 0,
                 "[RotaryAppend] kCache must have an even, positive head size but has %lld",
                 static_cast<long long>(size));
  SPECATTN_RETURN_IF_ERROR(CheckFloat(op, "vCache", v_cache));
  SPECATTN_RETURN_IF_ERROR(CheckShape(op, "vCache", v_cache, {kv_heads, capacity, size}));
  SPECATTN_RETURN_IF_ERROR(CheckTensor(op, "qkv", qkv, DType::kFloat32, {kAnySize, kAnySize}));
  const int64_t rows = qkv.dims[0], width = qkv.dims[1], heads = width / size - 2 * kv_heads;
  SPECATTN_CHECK(width % size == 0 && heads >= 0,
                 "[RotaryAppend] qkv must hold %lld key and value heads, and query heads, of size %lld a row "
                 "but has width %lld",
                 static_cast<long long>(2 * kv_heads), static_cast<long long>(size),
                 static_cast<long long>(width));
  SPECATTN_RETURN_IF_ERROR(CheckTensor(op, "position", args.inputs[1], DType::kInt32, {1}));
  SPECATTN_RETURN_IF_ERROR(CheckTensor(op, "frequencies", args.inputs[2], DType::kFloat32, {size / 2}));
  for (int i = 5; i < args.input_count; ++i)
    SPECATTN_RETURN_IF_ERROR(
        CheckTensor(op, i == 5 ? "qNorm" : "kNorm", args.inputs[i], DType::kFloat32, {size}));
  SPECATTN_RETURN_IF_ERROR(CheckTensor(op, "q", args.outputs[0], DType::kFloat32, {rows, heads, size}));
  for (int i = 0; i < 2; ++i) {
    const Tensor& cache = args.inputs[3 + i];
    const char* name = i == 0 ? "kCache" : "vCache";
    SPECATTN_RETURN_IF_ERROR(
        CheckTensor(op, name, args.outputs[1 + i], cache.dtype, {kv_heads, capacity, size}));
    SPECATTN_CHECK(args.outputs[1 + i].data == cache.data,
                   "[RotaryAppend] output %d must be the buffer of %s", 1 + i, name);
  }
  SPECATTN_CHECK(k_cache.size() == 0 || k_cache.data != v_cache.data,
                 "[RotaryAppend] kCache and vCache must be different buffers");
  *sizes = {rows, heads, kv_heads, capacity, size};
  return Ok();
}

}  // namespace
}  // namespace specattn

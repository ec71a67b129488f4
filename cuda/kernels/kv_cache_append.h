// KVCacheAppend: writes the keys or values of T rows to a cache.
//
//   cache[g, position + t, :] = rows[t, g, :]
//
// Rows are narrowed to the cache's storage (to nearest, ties to even). Rows whose position is outside [0, C) are dropped.
//
// inputs   cache [G,C,D] float32, bfloat16 or float16; donated
//          rows [T,G,D] float32, bfloat16 or float16
//          position [1] int32: the position of row 0
// attrs    none
// outputs  cache [G,C,D]: the same buffer as the input
#pragma once
#include "core/check.h"

namespace specattn {
namespace {

inline Status CheckKVCacheAppend(const Args& args) {
  SPECATTN_RETURN_IF_ERROR(CheckCounts("KVCacheAppend", args, 3, 1, 0));
  const Tensor& cache = args.inputs[0];
  const Tensor& rows = args.inputs[1];
  SPECATTN_RETURN_IF_ERROR(CheckFloat("KVCacheAppend", "cache", cache));
  SPECATTN_RETURN_IF_ERROR(CheckShape("KVCacheAppend", "cache", cache, {kAnySize, kAnySize, kAnySize}));
  const int64_t kv_heads = cache.dims[0], capacity = cache.dims[1], size = cache.dims[2];
  SPECATTN_RETURN_IF_ERROR(CheckFloat("KVCacheAppend", "rows", rows));
  SPECATTN_RETURN_IF_ERROR(CheckShape("KVCacheAppend", "rows", rows, {kAnySize, kv_heads, size}));
  SPECATTN_RETURN_IF_ERROR(CheckTensor("KVCacheAppend", "position", args.inputs[2], DType::kInt32, {1}));
  SPECATTN_RETURN_IF_ERROR(
      CheckTensor("KVCacheAppend", "output", args.outputs[0], cache.dtype, {kv_heads, capacity, size}));
  SPECATTN_CHECK(args.outputs[0].data == cache.data, "[KVCacheAppend] output must be the buffer of cache");
  return Ok();
}

}  // namespace
}  // namespace specattn

// KVCacheAppend: cache[g, position + t, :] = rows[t, g, :], narrowed to the cache's storage (to nearest, ties
// to even). Rows outside [0, C) are dropped.
//
// inputs   cache [G,C,D] float32, bfloat16 or float16
//          rows [T,G,D] float32, bfloat16 or float16
//          position [1] int32
// attrs    none
// outputs  cache [G,C,D]: the SAME buffer as the input, which the caller donates
#if defined(__F16C__)
#include <immintrin.h>
#endif

#include "../check.h"
#include "../cpu/kernels.h"
#include "../cpu/parallel.h"
#include "../cpu/with_float.h"

namespace specattn {
namespace {

template <class From, class To>
void CopyRow(const From* from, To* to, int64_t size) {
  for (int64_t i = 0; i < size; ++i) FromFloat(ToFloat(from[i]), to + i);
}

// The bits of FromFloat(float, BFloat16*), kLanes at once.
void CopyRow(const float* from, BFloat16* to, int64_t size) {
  int64_t i = 0;
  for (; i + kLanes <= size; i += kLanes) {
    const UVec u = reinterpret_cast<UVec>(Load(from + i));
    const UVec rounded = (u + 0x7fff + (u >> 16 & 1)) >> 16, quiet = u >> 16 | 0x40;
    const UVec bits = (u & 0x7fffffff) > 0x7f800000 ? quiet : rounded;
    *reinterpret_cast<HVecU*>(to + i) = __builtin_convertvector(bits, HVec);
  }
  for (; i < size; ++i) FromFloat(from[i], to + i);
}

#if defined(__F16C__)
void CopyRow(const float* from, Float16* to, int64_t size) {
  int64_t i = 0;
  for (; i + 8 <= size; i += 8) {
    const __m128i half =
        _mm256_cvtps_ph(_mm256_loadu_ps(from + i), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + i), half);
  }
  for (; i < size; ++i) FromFloat(from[i], to + i);
}
#endif

}  // namespace

namespace SPECATTN_ISA {

Status KVCacheAppend(Stream& stream, const Args& args) {
  SPECATTN_RETURN_IF_ERROR(CheckCounts("KVCacheAppend", args, 3, 1, 0));
  const Tensor& cache = args.inputs[0];
  const Tensor& rows = args.inputs[1];
  const Tensor& position = args.inputs[2];
  SPECATTN_RETURN_IF_ERROR(CheckFloat("KVCacheAppend", "cache", cache));
  SPECATTN_RETURN_IF_ERROR(CheckShape("KVCacheAppend", "cache", cache, {kAnySize, kAnySize, kAnySize}));
  const int64_t heads = cache.dims[0], capacity = cache.dims[1], size = cache.dims[2];
  SPECATTN_RETURN_IF_ERROR(CheckFloat("KVCacheAppend", "rows", rows));
  SPECATTN_RETURN_IF_ERROR(CheckShape("KVCacheAppend", "rows", rows, {kAnySize, heads, size}));
  SPECATTN_RETURN_IF_ERROR(CheckTensor("KVCacheAppend", "position", position, DType::kInt32, {1}));
  SPECATTN_RETURN_IF_ERROR(
      CheckTensor("KVCacheAppend", "output", args.outputs[0], cache.dtype, {heads, capacity, size}));
  SPECATTN_CHECK(args.outputs[0].data == cache.data, "[KVCacheAppend] output must be the buffer of cache");
  if (cache.size() == 0 || rows.size() == 0) return Ok();

  const int64_t first = position.as<int32_t>()[0];
  WithFloat(rows.dtype, [&](auto from_type) {
    WithFloat(cache.dtype, [&](auto to_type) {
      const auto* from = rows.as<decltype(from_type)>();
      auto* to = cache.as<decltype(to_type)>();
      ParallelFor(stream, rows.dims[0], 1 + 32768 / (heads * size), [&](int64_t begin, int64_t end) {
        for (int64_t t = begin; t < end; ++t) {
          if (first + t < 0 || first + t >= capacity) continue;
          for (int64_t g = 0; g < heads; ++g)
            CopyRow(from + (t * heads + g) * size, to + (g * capacity + first + t) * size, size);
        }
      });
    });
  });
  return Ok();
}

}  // namespace SPECATTN_ISA
}  // namespace specattn

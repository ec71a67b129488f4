// CopyRow: copies a row of floats from one storage type to another. Narrowing rounds to nearest, ties to even.
#pragma once
#if defined(__F16C__)
#include <immintrin.h>
#endif

#include "cpu/simd.h"

namespace specattn {
namespace {

template <class From, class To>
inline void CopyRow(const From* from, To* to, int64_t size) {
  for (int64_t i = 0; i < size; ++i) FromFloat(ToFloat(from[i]), to + i);
}

// FromFloat(float, BFloat16*), to the same bits, for kLanes elements at once.
inline void CopyRow(const float* from, BFloat16* to, int64_t size) {
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
inline void CopyRow(const float* from, Float16* to, int64_t size) {
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
}  // namespace specattn

// Vectors of integers and bytes, and StoreSelected, which packs the selected elements of a vector together.
#pragma once
#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include "cpu/simd.h"

namespace specattn {
namespace {

typedef int32_t IVecU __attribute__((vector_size(kLanes * 4), aligned(4), may_alias));
typedef uint8_t BVec __attribute__((vector_size(kLanes)));
typedef uint8_t BVecU __attribute__((vector_size(kLanes), aligned(1), may_alias));

inline IVec LoadInts(const int32_t* p) { return *reinterpret_cast<const IVecU*>(p); }
inline void StoreInts(int32_t* p, IVec v) { *reinterpret_cast<IVecU*>(p) = v; }
// Bytes are widened and narrowed by way of 16 bits, since GCC 12 compiles the direct conversion element by element.
inline IVec LoadBytes(const uint8_t* p) {
  const BVec bytes = *reinterpret_cast<const BVecU*>(p);
  return __builtin_convertvector(__builtin_convertvector(bytes, HVec), IVec);
}
inline void StoreBytes(uint8_t* p, IVec v) {
  *reinterpret_cast<BVecU*>(p) =
      __builtin_convertvector(__builtin_convertvector(reinterpret_cast<UVec>(v), HVec), BVec);
}

#if defined(__AVX2__) && !defined(__AVX512F__)
// order[mask]: the positions of the mask's ones in ascending order.
struct CompactOrders {
  uint8_t order[256][8];
  constexpr CompactOrders() : order() {
    for (int mask = 0; mask < 256; ++mask) {
      int count = 0;
      for (int i = 0; i < 8; ++i)
        if ((mask >> i & 1) != 0) order[mask][count++] = static_cast<uint8_t>(i);
    }
  }
};
constexpr CompactOrders kCompactOrders;
#endif

// Stores the lanes of v whose mask is -1 (the mask of the others is 0) at `out`, in order, and returns how many there are. All
// kLanes elements from `out` on may be overwritten.
inline int64_t StoreSelected(int32_t* out, IVec v, IVec mask) {
#if defined(__AVX512F__)
  const __mmask16 selected = _mm512_movepi32_mask(reinterpret_cast<__m512i>(mask));
  _mm512_storeu_si512(out, _mm512_maskz_compress_epi32(selected, reinterpret_cast<__m512i>(v)));
  return __builtin_popcount(selected);
#elif defined(__AVX2__)
  const int selected = _mm256_movemask_ps(reinterpret_cast<__m256>(mask));
  const __m128i order = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(kCompactOrders.order[selected]));
  StoreInts(out, reinterpret_cast<IVec>(
                     _mm256_permutevar8x32_epi32(reinterpret_cast<__m256i>(v), _mm256_cvtepu8_epi32(order))));
  return __builtin_popcount(static_cast<unsigned>(selected));
#else
  int64_t count = 0;
  for (int i = 0; i < kLanes; ++i) {
    out[count] = v[i];
    count -= mask[i];
  }
  return count;
#endif
}

}  // namespace
}  // namespace specattn

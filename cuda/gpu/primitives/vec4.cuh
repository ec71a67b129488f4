// Four elements at once.
#pragma once
#include "gpu/primitives/element.cuh"

namespace specattn {
namespace gpu {

// row[e ... e + 3] of a row of `width` elements as float32, zeros past its end. kAligned: the address of row[e] and width
// are multiples of 4 elements.
template <bool kAligned, class T>
__device__ __forceinline__ void LoadVec4(const T* row, int64_t e, int64_t width, float (&out)[4]) {
#pragma unroll
  for (int i = 0; i < 4; ++i) out[i] = 0;
  if constexpr (kAligned) {
    struct alignas(4 * sizeof(T)) Vec4 {
      T element[4];
    };
    if (e >= width) return;
    const Vec4 vec = *reinterpret_cast<const Vec4*>(row + e);
#pragma unroll
    for (int i = 0; i < 4; ++i) out[i] = ToFloat(vec.element[i]);
  } else {
#pragma unroll
    for (int i = 0; i < 4; ++i)
      if (e + i < width) out[i] = ToFloat(row[e + i]);
  }
}

// The counterpart: nothing is written past the row's end.
template <bool kAligned>
__device__ __forceinline__ void StoreVec4(float* row, int64_t e, int64_t width, const float (&x)[4]) {
  if constexpr (kAligned) {
    // As an assignment of a float4 it was compiled to four stores.
    if (e < width) __stwb(reinterpret_cast<float4*>(row + e), make_float4(x[0], x[1], x[2], x[3]));
  } else {
#pragma unroll
    for (int i = 0; i < 4; ++i)
      if (e + i < width) row[e + i] = x[i];
  }
}

}  // namespace gpu
}  // namespace specattn

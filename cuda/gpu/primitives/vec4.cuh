// Loads and stores of four consecutive elements, in one access where they are aligned.
#pragma once
#include "gpu/primitives/element.cuh"

namespace specattn {
namespace gpu {

// Sets out to row[e ... e + 3] as float32, with zeros past the end of the row's `width` elements. kAligned: the address of
// row[e] is a multiple of the size of 4 elements, and width is a multiple of 4.
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

// Stores x in row[e ... e + 3], as far as these are in the row. kAligned: as for LoadVec4.
template <bool kAligned>
__device__ __forceinline__ void StoreVec4(float* row, int64_t e, int64_t width, const float (&x)[4]) {
  if constexpr (kAligned) {
    // nvcc compiled the assignment of a float4 to four stores.
    if (e < width) __stwb(reinterpret_cast<float4*>(row + e), make_float4(x[0], x[1], x[2], x[3]));
  } else {
#pragma unroll
    for (int i = 0; i < 4; ++i)
      if (e + i < width) row[e + i] = x[i];
  }
}

}  // namespace gpu
}  // namespace specattn

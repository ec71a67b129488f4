// Four elements at once.
#pragma once
#include "element.cuh"

namespace specattn {
namespace gpu {

// row[e ... e + 3] of a row of `width` elements as float32, zeros past its end. `aligned`: the address of row[e] is a
// multiple of 4 elements, and so is width.
template <class T>
__device__ __forceinline__ void LoadFour(const T* row, int64_t e, int64_t width, bool aligned,
                                         float (&out)[4]) {
  if (aligned && e < width) {
    struct alignas(4 * sizeof(T)) Four {
      T element[4];
    };
    const Four four = *reinterpret_cast<const Four*>(row + e);
#pragma unroll
    for (int i = 0; i < 4; ++i) out[i] = ToFloat(four.element[i]);
  } else {
#pragma unroll
    for (int i = 0; i < 4; ++i) out[i] = e + i < width ? ToFloat(row[e + i]) : 0.0f;
  }
}

// The counterpart: nothing is written past the row's end.
__device__ __forceinline__ void StoreFour(float* row, int64_t e, int64_t width, bool aligned,
                                          const float (&x)[4]) {
  if (aligned && e < width) {
    *reinterpret_cast<float4*>(row + e) = make_float4(x[0], x[1], x[2], x[3]);
  } else {
#pragma unroll
    for (int i = 0; i < 4; ++i)
      if (e + i < width) row[e + i] = x[i];
  }
}

}  // namespace gpu
}  // namespace specattn

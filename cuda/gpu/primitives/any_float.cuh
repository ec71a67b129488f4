// Loads and stores of floats whose storage is known only at run time. They suit kernels that wait for memory, where a branch
// that all threads take alike costs less than compiling a kernel for each combination of types.
#pragma once
#include "gpu/primitives/element.cuh"

namespace specattn {
namespace gpu {

// Element i of data, which is stored as `dtype`, a float type.
__device__ __forceinline__ float LoadAs(DType dtype, const void* data, int64_t i) {
  if (dtype == DType::kBFloat16) return ToFloat(static_cast<const BFloat16*>(data)[i]);
  if (dtype == DType::kFloat16) return ToFloat(static_cast<const Float16*>(data)[i]);
  return static_cast<const float*>(data)[i];
}

// Stores x, rounded to nearest, as element i of data.
__device__ __forceinline__ void StoreAs(DType dtype, void* data, int64_t i, float x) {
  if (dtype == DType::kBFloat16) {
    FromFloat(x, static_cast<BFloat16*>(data) + i);
  } else if (dtype == DType::kFloat16) {
    FromFloat(x, static_cast<Float16*>(data) + i);
  } else {
    static_cast<float*>(data)[i] = x;
  }
}

}  // namespace gpu
}  // namespace specattn

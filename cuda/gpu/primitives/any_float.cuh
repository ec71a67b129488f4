// Elements whose storage is known at run time: for kernels that wait for memory anyway, where a branch that all
// threads take alike costs less than a kernel for each pair of types.
#pragma once
#include "gpu/primitives/element.cuh"

namespace specattn {
namespace gpu {

__device__ __forceinline__ float LoadAs(DType dtype, const void* data, int64_t i) {
  if (dtype == DType::kBFloat16) return ToFloat(static_cast<const BFloat16*>(data)[i]);
  if (dtype == DType::kFloat16) return ToFloat(static_cast<const Float16*>(data)[i]);
  return static_cast<const float*>(data)[i];
}

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

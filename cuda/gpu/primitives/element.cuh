// The float types of tensors on the device, and their conversion from and to float32.
#pragma once
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "core/tensor.h"

namespace specattn {
namespace gpu {

using BFloat16 = __nv_bfloat16;
using Float16 = __half;

__device__ __forceinline__ float ToFloat(float x) { return x; }
__device__ __forceinline__ float ToFloat(BFloat16 x) { return __bfloat162float(x); }
__device__ __forceinline__ float ToFloat(Float16 x) { return __half2float(x); }

// Rounds to nearest, ties to even.
__device__ __forceinline__ void FromFloat(float x, float* out) { *out = x; }
__device__ __forceinline__ void FromFloat(float x, BFloat16* out) { *out = __float2bfloat16_rn(x); }
__device__ __forceinline__ void FromFloat(float x, Float16* out) { *out = __float2half_rn(x); }

// Calls fn(T{}) with the element type T of a float dtype, for example
//   WithFloat(x.dtype, [&](auto t) { return Run<decltype(t)>(...); })
// Any other dtype counts as float32, so the launcher must have checked it.
template <class Fn>
auto WithFloat(DType dtype, const Fn& fn) {
  if (dtype == DType::kBFloat16) return fn(BFloat16{});
  if (dtype == DType::kFloat16) return fn(Float16{});
  return fn(float{});
}

}  // namespace gpu
}  // namespace specattn

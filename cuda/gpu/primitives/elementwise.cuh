// Helpers of kernels with one thread for each element: their grid, and where the inputs of an element are.
#pragma once
#include "core/strided.h"
#include "gpu/runtime/launch.cuh"

namespace specattn {
namespace gpu {

constexpr int kElementThreads = 256;

inline dim3 ElementGrid(int64_t elements) {
  return static_cast<unsigned>(CeilDiv<int64_t>(elements, kElementThreads));
}
__device__ __forceinline__ int64_t ElementIndex() {
  return static_cast<int64_t>(blockIdx.x) * kElementThreads + threadIdx.x;
}

inline bool IsAligned(const void* data, size_t bytes) {
  return reinterpret_cast<uintptr_t>(data) % bytes == 0;
}

// Returns a / b and sets *rest to a % b, for a >= 0 and b > 0. Small numbers are divided in 32 bits, since a 64-bit division
// takes several times as long.
__device__ __forceinline__ int64_t Divide(int64_t a, int64_t b, int64_t* rest) {
  if (((a | b) >> 32) == 0) {
    const unsigned quotient = static_cast<unsigned>(a) / static_cast<unsigned>(b);
    *rest = static_cast<unsigned>(a) - quotient * static_cast<unsigned>(b);
    return quotient;
  }
  const int64_t quotient = a / b;
  *rest = a - quotient * b;
  return quotient;
}

// Sets at[k] to the offset, in elements, at which output element i of the loops reads input k.
template <int N>
__device__ __forceinline__ void Offsets(const Loops<N>& loops, int64_t i, int64_t (&at)[N]) {
#pragma unroll
  for (int k = 0; k < N; ++k) at[k] = 0;
#pragma unroll 1
  for (int loop = loops.rank - 1; loop > 0; --loop) {
    int64_t place;
    i = Divide(i, loops.dims[loop], &place);
#pragma unroll
    for (int k = 0; k < N; ++k) at[k] += place * loops.strides[loop][k];
  }
#pragma unroll
  for (int k = 0; k < N; ++k) at[k] += i * loops.strides[0][k];
}

}  // namespace gpu
}  // namespace specattn

// What kernels with one thread an element share: their grid, and where an element's inputs lie.
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

// a / b, and a % b in *rest; neither is negative. Division of 64 bits takes several times as long as of 32.
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

// Where output `i` of the loops reads: at[k] in input k.
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

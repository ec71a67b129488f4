// Reductions over a warp and over a block. The order of operations is fixed, so that results have the same bits in every run.
#pragma once
#include "gpu/runtime/launch.cuh"

namespace specattn {
namespace gpu {

struct Plus {
  template <class T>
  __device__ __forceinline__ T operator()(T a, T b) const {
    return a + b;
  }
};
struct Maximum {
  template <class T>
  __device__ __forceinline__ T operator()(T a, T b) const {
    return a > b ? a : b;
  }
};
struct Minimum {
  template <class T>
  __device__ __forceinline__ T operator()(T a, T b) const {
    return a < b ? a : b;
  }
};

// Every lane gets the result.
template <class T, class Op>
__device__ __forceinline__ T WarpReduce(T x, Op op) {
#pragma unroll
  for (int step = kWarp / 2; step > 0; step /= 2) x = op(x, __shfl_xor_sync(kAllLanes, x, step));
  return x;
}

// Every thread gets the result. `shared` has room for kWarp T and may be reused at once after the call. blockDim.x is a
// multiple of kWarp, and all threads call.
template <class T, class Op>
__device__ __forceinline__ T BlockReduce(T x, Op op, T identity, T* shared) {
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp, warps = blockDim.x / kWarp;
  x = WarpReduce(x, op);
  if (lane == 0) shared[warp] = x;
  __syncthreads();
  x = WarpReduce(lane < warps ? shared[lane] : identity, op);
  __syncthreads();
  return x;
}

}  // namespace gpu
}  // namespace specattn

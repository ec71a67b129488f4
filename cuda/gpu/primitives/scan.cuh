// Running sums (or products) over a warp, over a block and along a row, in an order that the row's length decides.
#pragma once
#include "gpu/runtime/launch.cuh"

namespace specattn {
namespace gpu {

// op of the x of the lanes up to this one, it included; all lanes call.
template <class T, class Op>
__device__ __forceinline__ T WarpScan(T x, Op op) {
  const int lane = threadIdx.x % kWarp;
#pragma unroll
  for (int step = 1; step < kWarp; step *= 2) {
    const T before = __shfl_up_sync(kAllLanes, x, step);
    if (lane >= step) x = op(before, x);
  }
  return x;
}

// op of the x of all threads before this one; *total: of all. `shared` has room for kWarp T and may be used again at
// once; blockDim.x is a multiple of kWarp, and all threads call.
template <class T, class Op>
__device__ __forceinline__ T BlockScan(T x, const Op& op, T identity, T* shared, T* total) {
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp, warps = blockDim.x / kWarp;
  x = WarpScan(x, op);
  if (lane == kWarp - 1) shared[warp] = x;
  __syncthreads();
  if (warp == 0) {
    const T sums = WarpScan(lane < warps ? shared[lane] : identity, op);
    __syncwarp();
    shared[lane] = sums;
  }
  __syncthreads();
  *total = shared[warps - 1];
  const T before_warp = warp > 0 ? shared[warp - 1] : identity;
  T before = __shfl_up_sync(kAllLanes, x, 1);
  before = lane > 0 ? op(before_warp, before) : before_warp;
  __syncthreads();
  return before;
}

// store(j, before, after) for j in [0, n): op of load(0) ... load(j - 1), and of load(j) too. All threads of the block
// call; `shared` as above.
template <class T, class Op, class Load, class Store>
__device__ __forceinline__ void ScanRow(int64_t n, const Op& op, T identity, T* shared, const Load& load,
                                        const Store& store) {
  constexpr int kItems = 4;
  T carry = identity;
  for (int64_t start = 0; start < n; start += blockDim.x * kItems) {
    const int64_t first = start + threadIdx.x * kItems;
    T item[kItems], sum = identity, total;
#pragma unroll
    for (int k = 0; k < kItems; ++k) item[k] = first + k < n ? load(first + k) : identity;
#pragma unroll
    for (int k = 0; k < kItems; ++k) sum = op(sum, item[k]);
    T before = op(carry, BlockScan(sum, op, identity, shared, &total));
#pragma unroll
    for (int k = 0; k < kItems; ++k) {
      const T after = op(before, item[k]);
      if (first + k < n) store(first + k, before, after);
      before = after;
    }
    carry = op(carry, total);
  }
}

// Threads of a block that scans rows of n.
inline int ScanThreads(int64_t n) {
  int threads = kWarp;
  while (threads < 1024 && threads * 4 < n) threads *= 2;
  return threads;
}

}  // namespace gpu
}  // namespace specattn

// Running sums (or products) over a warp, over a block and along a row. The order of operations depends on the number of threads
// and the row's length alone.
#pragma once
#include "gpu/runtime/launch.cuh"

namespace specattn {
namespace gpu {

// Returns op over the x of all lanes up to and including the calling one. All lanes call.
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

// Returns op over the x of all threads before the calling one, and sets *total to op over all. `shared` has room for kWarp T and
// may be reused at once after the call. blockDim.x is a multiple of kWarp, and all threads call.
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

// Calls store(j, before, after) for every j in [0, n): `before` is op over load(0) ... load(j - 1), and `after` includes load(j).
// `shared` as for BlockScan. All threads of the block call.
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

// Number of threads of a block that scans rows of n elements.
inline int ScanThreads(int64_t n) {
  int threads = kWarp;
  while (threads < 1024 && threads * 4 < n) threads *= 2;
  return threads;
}

}  // namespace gpu
}  // namespace specattn

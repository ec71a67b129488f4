// Draws from a row of weights by inversion, on the device: chunks of the row are added up first, by as many warps as there
// are chunks, then one warp finds the chunk, the part of it and the weight in which the running sum passes u of the total.
#pragma once
#include "core/random.h"
#include "gpu/primitives/reduce.cuh"
#include "gpu/primitives/scan.cuh"

namespace specattn {
namespace gpu {

constexpr int kChunk = kWarp * kWarp;

// Calls fn(j) for the chunk's elements, in the order in which a lane has them.
template <class Fn>
__device__ __forceinline__ void ForChunk(int chunk, int n, const Fn& fn) {
  const int lane = threadIdx.x % kWarp;
#pragma unroll 8
  for (int i = 0; i < kWarp; ++i) {
    const int j = chunk * kChunk + i * kWarp + lane;
    if (j < n) fn(j);
  }
}

// The lane at which `before` plus the running sum of the lanes' weights exceeds the target; the last positive one where
// rounding keeps the sum below, -1 where there is none. `before` then includes the lanes before it.
__device__ __forceinline__ int PickLane(double weight, double target, double* before) {
  const int lane = threadIdx.x % kWarp;
  const double sum = WarpScan(weight, Plus());
  const unsigned positive = __ballot_sync(kAllLanes, weight > 0);
  const unsigned reached = __ballot_sync(kAllLanes, weight > 0 && *before + sum > target);
  const double previous = __shfl_up_sync(kAllLanes, sum, 1);
  if (positive == 0) return -1;
  const int picked = reached != 0 ? __ffs(reached) - 1 : kWarp - 1 - __clz(positive);
  *before += __shfl_sync(kAllLanes, lane == 0 ? 0.0 : previous, picked);
  return picked;
}

// An index drawn with u in [0, 1) from n weights, of which each chunk adds up to sums[chunk]; never one of weight 0. -1 if
// the total is not positive. One warp calls; all its lanes get the result.
template <class Weight>
__device__ int Draw(int n, double u, const double* sums, const Weight& weight) {
  const int lane = threadIdx.x % kWarp, chunks = CeilDiv(n, kChunk);
  const auto group = [&](int first) { return first + lane < chunks ? __ldcg(sums + first + lane) : 0.0; };
  double total = 0;
  for (int first = 0; first < chunks; first += kWarp) total += WarpReduce(group(first), Plus());
  if (!(total > 0)) return -1;
  const double target = u * total;

  double before = 0, before_picked = 0;
  int picked = -1;  // the group's first chunk
  for (int first = 0; first < chunks; first += kWarp) {
    const double sum = WarpReduce(group(first), Plus());
    if (sum > 0) picked = first, before_picked = before;
    before += sum;
    if (sum > 0 && before > target) break;
  }
  if (picked < 0) return -1;
  const int in_group = PickLane(group(picked), target, &before_picked);
  if (in_group < 0) return -1;

  const int begin = (picked + in_group) * kChunk;
  double sum = 0;  // of this lane's part
#pragma unroll 8
  for (int i = 0; i < kWarp; ++i) {
    const int j = begin + lane * kWarp + i;
    if (j < n) sum += static_cast<double>(weight(j));
  }
  const int part = PickLane(sum, target, &before_picked);
  if (part < 0) return -1;
  const int first = begin + part * kWarp, j = first + lane;
  const int last = PickLane(j < n ? static_cast<double>(weight(j)) : 0.0, target, &before_picked);
  return last < 0 ? -1 : first + last;
}

}  // namespace gpu
}  // namespace specattn

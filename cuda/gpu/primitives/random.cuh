// Random draws from a row of weights by inversion: the index at which the running sum of the weights exceeds u times their
// total. The kernel first adds up the chunks of the row, a warp each (ForChunk). Then one warp draws (Draw): it finds the
// chunk, a part of that chunk and at last the weight at which the running sum exceeds the target.
#pragma once
#include "core/random.h"
#include "gpu/primitives/reduce.cuh"
#include "gpu/primitives/scan.cuh"

namespace specattn {
namespace gpu {

constexpr int kChunk = kWarp * kWarp;  // weights

// Calls fn(j) for the indices j < n of a chunk, which the warp's lanes share; a lane's are in ascending order.
template <class Fn>
__device__ __forceinline__ void ForChunk(int chunk, int n, const Fn& fn) {
  const int lane = threadIdx.x % kWarp;
#pragma unroll 8
  for (int i = 0; i < kWarp; ++i) {
    const int j = chunk * kChunk + i * kWarp + lane;
    if (j < n) fn(j);
  }
}

// Returns the first lane of positive weight at which *before plus the running sum of the lanes' weights exceeds the target.
// Where rounding keeps the sum from that it is the last lane of positive weight, and -1 where no weight is positive. Adds the
// weights of the lanes before the returned one to *before. All lanes call.
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

// Draws an index from n weights with u in [0, 1). weight(j) returns weight j, and sums[chunk] is the sum of a chunk's weights.
// The index never has weight 0; it is -1 where the total is not positive. One warp calls, and all its lanes get the index.
template <class Weight>
__device__ int Draw(int n, double u, const double* sums, const Weight& weight) {
  const int lane = threadIdx.x % kWarp, chunks = CeilDiv(n, kChunk);
  const auto group = [&](int first) { return first + lane < chunks ? __ldcg(sums + first + lane) : 0.0; };
  double total = 0;
  for (int first = 0; first < chunks; first += kWarp) total += WarpReduce(group(first), Plus());
  if (!(total > 0)) return -1;
  const double target = u * total;

  double before = 0, before_picked = 0;
  int picked = -1;  // first chunk of the group of kWarp chunks in which the sum exceeds the target
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
  double sum = 0;  // of this lane's part of the chunk, kWarp consecutive weights
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

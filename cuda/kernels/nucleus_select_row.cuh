// WeightedRow: the row of weights whose nucleus NucleusSelect searches for, read as a weighted sum of attention rows.
#pragma once
#include "gpu/nucleus/nucleus_rows.cuh"

namespace specattn {
namespace gpu {
namespace {

// A source that a set uses, and its weight in mix.
struct Used {
  float weight;
  int source;
};

// A source (gpu/nucleus/nucleus_rows.cuh): the sum of used[k].weight times the row used[k].source, in the order of k, as the
// CPU adds it up.
struct WeightedRow {
  const float *step, *fixed;  // [R,n], [U,n]
  int step_sources;           // R
  const Used* used;
  int count, n;  // number of used sources, weights of a row
  bool aligned;  // whether rows can be loaded four weights at a time

  __device__ __forceinline__ const float* Row(int k) const {
    const int source = used[k].source;
    return source < step_sources ? step + int64_t{source} * n : fixed + int64_t{source - step_sources} * n;
  }
  __device__ __forceinline__ float operator()(int j) const {
    float sum = 0;
    for (int k = 0; k < count; ++k) sum = __fmaf_rn(used[k].weight, Row(k)[j], sum);
    return sum;
  }
  template <int kFours>
  __device__ __forceinline__ void Load(int j, int stride, float (&x)[kFours][4]) const {
#pragma unroll
    for (int i = 0; i < kFours; ++i)
#pragma unroll
      for (int c = 0; c < 4; ++c) x[i][c] = 0;
    for (int k = 0; k < count; ++k) {
      constexpr int kAtOnce = kFours < kAhead ? kFours : kAhead;
#pragma unroll
      for (int first = 0; first < kFours; first += kAtOnce) {
        float y[kAtOnce][4];
        PlainRow{Row(k), n, aligned}.Load(j + first * stride, stride, y);
#pragma unroll
        for (int i = 0; i < kAtOnce; ++i)
#pragma unroll
          for (int c = 0; c < 4; ++c) x[first + i][c] = __fmaf_rn(used[k].weight, y[i][c], x[first + i][c]);
      }
    }
  }
};

// Lists the sources whose weight in mix is not 0, in ascending order, and returns their number. All threads of a block call.
__device__ __forceinline__ int ListUsed(const float* mix, int sources, Used* used, NucleusShared& s) {
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp, warps = blockDim.x / kWarp;
  int count = 0;
  for (int first = 0; first < sources; first += blockDim.x) {
    const int r = first + threadIdx.x;
    const float weight = r < sources ? mix[r] : 0.0f;
    const unsigned some = __ballot_sync(kAllLanes, weight != 0);
    if (lane == 0) s.piece[warp] = __popc(some);
    __syncthreads();
    int at = count + __popc(some & ((1u << lane) - 1));
    for (int w = 0; w < warps; ++w) {
      const int in_warp = static_cast<int>(s.piece[w]);
      at += w < warp ? in_warp : 0;
      count += in_warp;
    }
    if (weight != 0) used[at] = {weight, r};
    __syncthreads();
  }
  return count;
}

}  // namespace
}  // namespace gpu
}  // namespace specattn

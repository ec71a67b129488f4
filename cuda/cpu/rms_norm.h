// RMSScale: the factor by which RMSNorm, and Linear with a fused norm, scale a row.
#pragma once
#include "cpu/simd.h"

namespace specattn {
namespace {

// The sum of the squares of a row. Four accumulators hide the latency of the additions.
template <class X>
inline float SumOfSquares(const X* x, int64_t width) {
  Vec sum[4] = {};
  int64_t e = 0;
  for (; e + 4 * kLanes <= width; e += 4 * kLanes) {
    for (int i = 0; i < 4; ++i) {
      const Vec v = Load(x + e + i * kLanes);
      sum[i] += v * v;
    }
  }
  for (; e + kLanes <= width; e += kLanes) {
    const Vec v = Load(x + e);
    sum[0] += v * v;
  }
  if (e < width) {
    // A vector here too: the compiler may fuse the multiply-adds of a scalar loop in one kernel and not in another.
    const Vec v = LoadFirst(x + e, width - e);
    sum[0] += v * v;
  }
  return Sum((sum[0] + sum[1]) + (sum[2] + sum[3]));
}

// 1 / sqrt(mean(x^2) + epsilon)
template <class X>
inline float RMSScale(const X* x, int64_t width, float epsilon) {
  return 1.0f / std::sqrt(SumOfSquares(x, width) / static_cast<float>(width) + epsilon);
}

}  // namespace
}  // namespace specattn

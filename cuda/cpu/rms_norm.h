// The norm of a row, which RMSNorm and the ops with a fused norm share.
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

// y = x * RMSScale(x) * weight; x and y may be the same row.
template <class X, class W>
inline void NormRow(const X* x, const W* weight, float epsilon, float* y, int64_t width) {
  const float scale = RMSScale(x, width, epsilon);
  int64_t e = 0;
  for (; e + kLanes <= width; e += kLanes) Store(y + e, Load(x + e) * scale * Load(weight + e));
  for (; e < width; ++e) y[e] = ToFloat(x[e]) * scale * ToFloat(weight[e]);
}

}  // namespace
}  // namespace specattn

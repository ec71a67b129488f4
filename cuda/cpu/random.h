// Draw: draws an index from a row of weights by inversion of their running sum.
#pragma once
#include "core/random.h"

namespace specattn {
namespace {

// The sum of weight(begin) ... weight(end - 1) in double. It always has eight lanes, so that every instruction set adds in the
// same order.
template <class Weight>
inline double SumOf(int64_t begin, int64_t end, const Weight& weight) {
  double lane[8] = {};
  int64_t j = begin;
  for (; j + 8 <= end; j += 8)
    for (int i = 0; i < 8; ++i) lane[i] += static_cast<double>(weight(j + i));
  for (; j < end; ++j) lane[0] += static_cast<double>(weight(j));
  return ((lane[0] + lane[1]) + (lane[2] + lane[3])) + ((lane[4] + lane[5]) + (lane[6] + lane[7]));
}

// The first index at which the running sum of the n non-negative weights exceeds u times their total, with u in [0, 1); -1 if the
// total is 0. Whole chunks are summed first, so that only one chunk's weights are added one by one.
template <class Weight>
inline int64_t Draw(int64_t n, double u, const Weight& weight) {
  constexpr int kChunks = 64;
  const int64_t size = (n + kChunks * 8 - 1) / (kChunks * 8) * 8;
  double sums[kChunks];
  double total = 0;
  for (int c = 0; c < kChunks; ++c) {
    const int64_t begin = c * size < n ? c * size : n, end = begin + size < n ? begin + size : n;
    sums[c] = SumOf(begin, end, weight);
    total += sums[c];
  }
  if (!(total > 0)) return -1;

  double sum = 0;
  int c = 0;
  while (c < kChunks - 1 && sum + sums[c] <= u * total) sum += sums[c++];
  int64_t drawn = -1;
  for (int64_t j = c * size; j < n && j < (c + 1) * size; ++j) {
    const double w = static_cast<double>(weight(j));
    if (!(w > 0)) continue;
    // If the running sum rounds to less than the chunk's sum, the chunk's last positive weight is drawn.
    drawn = j;
    sum += w;
    if (sum > u * total) break;
  }
  return drawn;
}

}  // namespace
}  // namespace specattn

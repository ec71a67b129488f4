// Draws from a row of weights by inversion.
#pragma once
#include "core/random.h"

namespace specattn {
namespace {

// Sum of weight(begin) ... weight(end - 1) in double, in eight lanes: the same order for every instruction
// set.
template <class Weight>
inline double SumOf(int64_t begin, int64_t end, const Weight& weight) {
  double lane[8] = {};
  int64_t j = begin;
  for (; j + 8 <= end; j += 8)
    for (int i = 0; i < 8; ++i) lane[i] += static_cast<double>(weight(j + i));
  for (; j < end; ++j) lane[0] += static_cast<double>(weight(j));
  return ((lane[0] + lane[1]) + (lane[2] + lane[3])) + ((lane[4] + lane[5]) + (lane[6] + lane[7]));
}

// The first index at which the running sum of the n non-negative weights exceeds u (in [0, 1)) of their
// total; -1 if that is 0. The sum runs over chunks first, so that few of the weights are added one by one.
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
    drawn = j;  // the chunk's last one where adding one by one rounds to less than the chunk's sum
    sum += w;
    if (sum > u * total) break;
  }
  return drawn;
}

}  // namespace
}  // namespace specattn

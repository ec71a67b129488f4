// ForRuns: runs the loops of core/strided.h on several threads.
#pragma once
#include "core/strided.h"
#include "cpu/parallel.h"

namespace specattn {
namespace {

// Calls fn(out, in, n) for runs of the innermost loop: a run has the n outputs from `out` on, and input k begins at in[k]. A thread
// takes about `grain` elements at a time.
template <int N, class Fn>
inline void ForRuns(Stream& stream, const Loops<N>& loops, int64_t grain, const Fn& fn) {
  const int last = loops.rank - 1;
  const int64_t n = loops.inner(), rows = loops.outer();
  if (n == 0) return;
  if (rows == 1) {
    ParallelFor(stream, n, grain, [&](int64_t begin, int64_t end) {
      int64_t in[N];
      for (int k = 0; k < N; ++k) in[k] = begin * loops.strides[last][k];
      fn(begin, in, end - begin);
    });
    return;
  }
  const int64_t grain_rows = n >= grain ? 1 : grain / n;
  ParallelFor(stream, rows, grain_rows, [&](int64_t begin, int64_t end) {
    int64_t at[kMaxLoops], in[N] = {}, rest = begin;
    for (int i = last - 1; i >= 0; --i) {
      at[i] = rest % loops.dims[i];
      rest /= loops.dims[i];
      for (int k = 0; k < N; ++k) in[k] += at[i] * loops.strides[i][k];
    }
    for (int64_t row = begin; row < end; ++row) {
      fn(row * n, in, n);
      for (int i = last - 1; i >= 0; --i) {
        for (int k = 0; k < N; ++k) in[k] += loops.strides[i][k];
        if (++at[i] < loops.dims[i]) break;
        for (int k = 0; k < N; ++k) in[k] -= loops.strides[i][k] * loops.dims[i];
        at[i] = 0;
      }
    }
  });
}

}  // namespace
}  // namespace specattn

// Loops over strided arrays: what broadcasting, slicing, tiling and transposing have in common.
#pragma once
#include "../tensor.h"
#include "parallel.h"

namespace specattn {
namespace {

constexpr int kMaxLoops = 2 * kMaxRank;  // a tiled axis takes two

// Walks a dense output in row-major order beside N inputs read through strides (in elements; 0 broadcasts).
template <int N>
struct Loops {
  int rank = 0;
  int64_t dims[kMaxLoops];
  int64_t strides[kMaxLoops][N];

  // Adds a loop inside the others, merged with the one around it where the two are one.
  void Add(int64_t dim, const int64_t (&stride)[N]) {
    if (dim == 1) return;
    bool merges = rank > 0;
    for (int k = 0; k < N; ++k) merges = merges && strides[rank - 1][k] == stride[k] * dim;
    if (!merges) {
      ++rank;
      dims[rank - 1] = 1;
    }
    dims[rank - 1] *= dim;
    for (int k = 0; k < N; ++k) strides[rank - 1][k] = stride[k];
  }

  // Call after the last Add: there is always an innermost loop.
  void Close() {
    if (rank > 0) return;
    rank = 1;
    dims[0] = 1;
    for (int k = 0; k < N; ++k) strides[0][k] = 1;
  }

  int64_t inner() const { return dims[rank - 1]; }
  int64_t outer() const {
    int64_t n = 1;
    for (int i = 0; i + 1 < rank; ++i) n *= dims[i];
    return n;
  }
};

// The strides that read x as if it had out's shape; false if x does not broadcast to it.
inline bool BroadcastStrides(const Tensor& x, const Tensor& out, int64_t (&strides)[kMaxRank]) {
  if (x.rank > out.rank) return false;
  int64_t stride = 1;
  for (int i = out.rank - 1, j = x.rank - 1; i >= 0; --i, --j) {
    const int64_t dim = j >= 0 ? x.dims[j] : 1;
    if (dim != 1 && dim != out.dims[i]) return false;
    strides[i] = dim == 1 ? 0 : stride;
    stride *= dim;
  }
  return true;
}

// fn(out, in, n) for runs of the innermost loop: outputs out … out + n - 1, inputs from in[k] on. Every
// thread gets about `grain` elements.
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

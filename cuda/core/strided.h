// Loops: a nest of loops over strided arrays. Kernels that broadcast, slice, tile or transpose describe their reads with it.
#pragma once
#include "core/tensor.h"

namespace specattn {
namespace {

constexpr int kMaxLoops = 2 * kMaxRank;  // a tiled axis needs two loops

// Loops that visit a dense output in row-major order, and N inputs through strides. A stride counts elements; 0 broadcasts.
template <int N>
struct Loops {
  int rank = 0;
  int64_t dims[kMaxLoops] = {};
  int64_t strides[kMaxLoops][N] = {};

  // Adds an innermost loop. If its strides continue those of the loop around it, the two become one loop.
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

  // Must be called after the last Add. If every dimension was 1, it adds a loop of one element, so that inner() exists.
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

// Fills the strides that read x as if it had out's shape; returns false if x does not broadcast to that shape.
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

}  // namespace
}  // namespace specattn

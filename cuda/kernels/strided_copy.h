// StridedCopy: makes a strided view of x dense (Transpose, Slice, StridedSlice, Tile, Reverse, SplitV, Unpack).
//
//   y[i0, i1, ...] = x[offset + i0 * stride0 + i1 * stride1 + ...]
//
// inputs   x: any storage
// attrs    offset; then (size, stride) of each loop, outermost first: at most 16 loops, strides in elements, of any sign
// outputs  y: x's storage; as many elements as the sizes' product
#pragma once
#include "core/strided.h"

namespace specattn {
namespace {

struct StridedCopyCall {
  int64_t offset = 0;
  Loops<1> loops;
};

inline Status CheckStridedCopy(const Args& args, StridedCopyCall* call) {
  SPECATTN_CHECK(
      args.input_count == 1 && args.output_count == 1 && args.attr_count % 2 == 1,
      "[StridedCopy] expected 1 input, 1 output, an offset and pairs but has %d, %d and %d attributes",
      args.input_count, args.output_count, args.attr_count);
  const Tensor &x = args.inputs[0], &y = args.outputs[0];
  const int rank = (args.attr_count - 1) / 2;
  SPECATTN_CHECK(rank <= kMaxLoops, "[StridedCopy] expected at most %d loops but has %d", kMaxLoops, rank);
  SPECATTN_CHECK(x.dtype == y.dtype, "[StridedCopy] y must be stored as x (dtype %s) but is %s",
                 NameOf(x.dtype), NameOf(y.dtype));
  const int64_t offset = Whole(args.attrs[0]), all = x.size();
  SPECATTN_CHECK(offset > INT64_MIN, "[StridedCopy] offset must be a whole number but is %g", args.attrs[0]);
  Loops<1> loops;
  int64_t size = 1, lowest = offset, highest = offset;
  for (int i = 0; i < rank; ++i) {
    const double* const pair = args.attrs + 1 + 2 * i;
    const int64_t dim = Whole(pair[0]), stride = Whole(pair[1]);
    SPECATTN_CHECK(dim >= 0, "[StridedCopy] size %d must be a whole number >= 0 but is %g", i, pair[0]);
    SPECATTN_CHECK(stride > INT64_MIN, "[StridedCopy] stride %d must be a whole number but is %g", i,
                   pair[1]);
    SPECATTN_CHECK(!__builtin_mul_overflow(size, dim, &size), "[StridedCopy] size %d is too large: %g", i,
                   pair[0]);
    if (dim <= 1 || y.size() == 0) continue;
    int64_t span = 0;
    SPECATTN_CHECK(!__builtin_mul_overflow(dim - 1, stride, &span) && span <= all && span >= -all,
                   "[StridedCopy] size %d and its stride, %g and %g, leave the %lld elements", i, pair[0],
                   pair[1], static_cast<long long>(all));
    (stride < 0 ? lowest : highest) += span;
    loops.Add(dim, {stride});
  }
  SPECATTN_CHECK(size == y.size(), "[StridedCopy] y must have %lld elements but has %lld",
                 static_cast<long long>(size), static_cast<long long>(y.size()));
  if (size == 0) return Ok();
  SPECATTN_CHECK(lowest >= 0 && highest < all, "[StridedCopy] reads elements %lld to %lld of %lld",
                 static_cast<long long>(lowest), static_cast<long long>(highest),
                 static_cast<long long>(all));
  loops.Close();
  *call = {offset, loops};
  return Ok();
}

}  // namespace
}  // namespace specattn

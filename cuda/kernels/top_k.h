// TopK: the k largest elements along the last axis, in descending order. Of equal elements the one with the lower index
// comes first; NaN comes after everything else.
//
// inputs   x [..., n]: float32, int32 or bool
// attrs    none
// outputs  values [..., k]: x's dtype, k <= n
//          indices [..., k] int32
#pragma once
#include "core/tensor.h"

namespace specattn {
namespace {

struct TopKSizes {
  int64_t rows = 0, n = 0, k = 0;
};

inline Status CheckTopK(const Args& args, TopKSizes* sizes) {
  SPECATTN_CHECK(args.input_count == 1 && args.output_count == 2,
                 "[TopK] expected 1 input and 2 outputs but has %d and %d", args.input_count,
                 args.output_count);
  const Tensor &x = args.inputs[0], &values = args.outputs[0], &indices = args.outputs[1];
  SPECATTN_CHECK(x.rank >= 1 && values.rank == x.rank,
                 "[TopK] x and values must have one rank >= 1 but have %d and %d", x.rank, values.rank);
  SPECATTN_CHECK(values.dtype == x.dtype && indices.dtype == DType::kInt32,
                 "[TopK] values must be %s and indices int32 but are %s and %s", NameOf(x.dtype),
                 NameOf(values.dtype), NameOf(indices.dtype));
  const int64_t n = x.dims[x.rank - 1], k = values.dims[x.rank - 1];
  SPECATTN_CHECK(k <= n, "[TopK] k must be at most %lld but is %lld", static_cast<long long>(n),
                 static_cast<long long>(k));
  const int64_t rows = n > 0 ? x.size() / n : 0;
  SPECATTN_CHECK(values.size() == rows * k && indices.size() == rows * k,
                 "[TopK] values and indices must have %lld elements but have %lld and %lld",
                 static_cast<long long>(rows * k), static_cast<long long>(values.size()),
                 static_cast<long long>(indices.size()));
  *sizes = {rows, n, k};
  return Ok();
}

}  // namespace
}  // namespace specattn

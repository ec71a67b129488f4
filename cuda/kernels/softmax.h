// Softmax: the softmax along the last axis, or its logarithm.
//
//   y = e^(x - max) / sum, or x - max - log(sum), with the row's max(x) and sum of e^(x - max)
//
// inputs   x [..., n] float32
// attrs    logarithm: 1 for the logarithm, else 0
// outputs  y: x's shape, float32
//
// A row with NaN or +inf, or of -inf alone, gives NaN.
#pragma once
#include "core/check.h"

namespace specattn {
namespace {

struct SoftmaxSizes {
  int64_t rows = 0, n = 0;
};

inline Status CheckSoftmax(const Args& args, SoftmaxSizes* sizes) {
  SPECATTN_RETURN_IF_ERROR(CheckCounts("Softmax", args, 1, 1, 1));
  const Tensor &x = args.inputs[0], &y = args.outputs[0];
  SPECATTN_CHECK(x.dtype == DType::kFloat32 && y.dtype == DType::kFloat32,
                 "[Softmax] x and the output must be float32 but are of %s and %s", NameOf(x.dtype),
                 NameOf(y.dtype));
  SPECATTN_CHECK(x.size() == y.size(), "[Softmax] the output must have %lld elements but has %lld",
                 static_cast<long long>(x.size()), static_cast<long long>(y.size()));
  const int64_t n = x.rank > 0 ? x.dims[x.rank - 1] : 1;
  *sizes = {n > 0 ? x.size() / n : 0, n};
  return Ok();
}

}  // namespace
}  // namespace specattn

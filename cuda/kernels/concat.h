// Concat: concatenates tensors along an axis (Concat, Pack).
//
// inputs   N >= 1 tensors of one storage, each seen as [outer, columns_i]
// attrs    outer: the product of the dimensions before the axis
// outputs  out [outer, sum of columns_i], of the same storage
#pragma once
#include "core/tensor.h"

namespace specattn {
namespace {

struct ConcatSizes {
  int64_t outer = 0;
  size_t row = 0;  // bytes of a row of the output
};

inline Status CheckConcat(const Args& args, ConcatSizes* sizes) {
  SPECATTN_CHECK(args.input_count >= 1 && args.output_count == 1 && args.attr_count == 1,
                 "[Concat] expected inputs, 1 output and 1 attribute but has %d, %d and %d", args.input_count,
                 args.output_count, args.attr_count);
  const Tensor& out = args.outputs[0];
  const int64_t outer = Whole(args.attrs[0]);
  SPECATTN_CHECK(outer >= 0, "[Concat] outer must be a whole number >= 0 but is %g", args.attrs[0]);
  size_t row = 0;
  for (int i = 0; i < args.input_count; ++i) {
    const Tensor& x = args.inputs[i];
    SPECATTN_CHECK(x.dtype == out.dtype, "[Concat] input %d must be %s but is %s", i, NameOf(out.dtype),
                   NameOf(x.dtype));
    SPECATTN_CHECK(outer > 0 ? x.size() % outer == 0 : x.size() == 0,
                   "[Concat] input %d: %lld elements do not make %lld rows", i,
                   static_cast<long long>(x.size()), static_cast<long long>(outer));
    if (outer > 0) row += x.bytes() / static_cast<size_t>(outer);
  }
  SPECATTN_CHECK(row * static_cast<size_t>(outer) == out.bytes(),
                 "[Concat] the output must have %zu bytes but has %zu", row * static_cast<size_t>(outer),
                 out.bytes());
  *sizes = {outer, row};
  return Ok();
}

}  // namespace
}  // namespace specattn

// The index of the largest (or smallest) element along an axis, the lowest of equals.
//   input   x: float32 | int32 | bool
//   attrs   axis, 1 for the smallest
//   output  x's shape without the axis, int32
// NaN is never larger, unless it comes first: then the index is 0, as on tfjs-backend-cpu.
#pragma once
#include "core/check.h"

namespace specattn {
namespace {

struct ArgMaxCall {
  int64_t outer = 0, n = 0, inner = 0;  // x as [outer, n, inner]
  bool smallest = false;
};

inline Status CheckArgMax(const Args& args, ArgMaxCall* call) {
  SPECATTN_RETURN_IF_ERROR(CheckCounts("ArgMax", args, 1, 1, 2));
  const Tensor &x = args.inputs[0], &y = args.outputs[0];
  const int64_t axis = Whole(args.attrs[0]);
  SPECATTN_CHECK(axis >= 0 && axis < x.rank, "[ArgMax] axis %g of a tensor of rank %d", args.attrs[0],
                 x.rank);
  SPECATTN_RETURN_IF_ERROR(CheckDType("ArgMax", "the output", y, DType::kInt32));
  int64_t outer = 1, inner = 1;
  for (int i = 0; i < axis; ++i) outer *= x.dims[i];
  for (int64_t i = axis + 1; i < x.rank; ++i) inner *= x.dims[i];
  SPECATTN_CHECK(y.size() == outer * inner, "[ArgMax] the output must have %lld elements but has %lld",
                 static_cast<long long>(outer * inner), static_cast<long long>(y.size()));
  *call = {outer, x.dims[axis], inner, args.attrs[1] != 0};
  return Ok();
}

}  // namespace
}  // namespace specattn

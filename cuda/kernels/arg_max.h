// ArgMax: the index of the largest or smallest element along an axis; ties go to the lower index.
//
// inputs   x [...]: float32, int32 or bool
// attrs    axis; smallest: 0 for the largest element, 1 for the smallest
// outputs  y int32: x's shape without the axis
//
// NaN beats nothing. If the first element is NaN nothing beats it and the index is 0, as on tfjs-backend-cpu. An axis
// without elements gives 0 too.
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

// Running sums or products along an axis: Cumsum and Cumprod.
//   input   x: float32 | int32 | bool
//   attrs   axis, exclusive, reverse, product
//   output  x's shape; x's dtype, int32 for bool
// Accumulates in float64 (integers too: exact below 2^53; wrapped when stored). CUDA multiplies stretches of a row by themselves
// first: where a product leaves float64's range, NaN and infinity need not stand where the CPU has them.
#pragma once
#include "core/check.h"

namespace specattn {
namespace {

struct CumsumCall {
  int64_t outer = 0, n = 0, inner = 0;  // x as [outer, n, inner]
  bool exclusive = false, reverse = false, product = false;
};

inline Status CheckCumsum(const Args& args, CumsumCall* call) {
  SPECATTN_RETURN_IF_ERROR(CheckCounts("Cumsum", args, 1, 1, 4));
  const Tensor &x = args.inputs[0], &y = args.outputs[0];
  const int64_t axis = Whole(args.attrs[0]);
  SPECATTN_CHECK(x.rank == 0 ? axis == 0 : axis >= 0 && axis < x.rank,
                 "[Cumsum] axis %g of a tensor of rank %d", args.attrs[0], x.rank);
  SPECATTN_CHECK(x.size() == y.size(), "[Cumsum] the output must have %lld elements but has %lld",
                 static_cast<long long>(x.size()), static_cast<long long>(y.size()));
  const DType expected = x.dtype == DType::kBool ? DType::kInt32 : x.dtype;
  SPECATTN_RETURN_IF_ERROR(CheckDType("Cumsum", "the output", y, expected));
  call->outer = call->inner = 1;
  for (int i = 0; i < axis; ++i) call->outer *= x.dims[i];
  for (int64_t i = axis + 1; i < x.rank; ++i) call->inner *= x.dims[i];
  call->n = x.rank > 0 ? x.dims[axis] : 1;
  call->exclusive = args.attrs[1] != 0;
  call->reverse = args.attrs[2] != 0;
  call->product = args.attrs[3] != 0;
  return Ok();
}

}  // namespace
}  // namespace specattn

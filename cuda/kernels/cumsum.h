// Cumsum: running sums or products along an axis (Cumsum, Cumprod).
//
//   y[j] = x[0] + ... + x[j] along the axis
//
// inputs   x [...]: float32, int32 or bool
// attrs    axis
//          exclusive: 1 leaves x[j] itself out of y[j]
//          reverse: 1 runs from the axis's end to its beginning
//          product: 1 multiplies instead of adding
// outputs  y: x's shape and dtype, int32 for bool
//
// Accumulates in float64. Integers are exact below 2^53 and wrap when stored. CUDA first multiplies stretches of a row by
// themselves: if a product leaves float64's range, NaN and infinity may stand at other places than on the CPU.
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

// Copy: copies a tensor, perhaps to another float storage. It widens inputs of half types and narrows weights to them.
//
// inputs   x: any storage
// attrs    none
// outputs  y: as many elements; x's storage, or any float storage if x's is one
//
// Narrowing rounds to nearest, ties to even.
#pragma once
#include "core/tensor.h"

namespace specattn {
namespace {

inline Status CheckCopy(const Args& args) {
  SPECATTN_CHECK(args.input_count == 1 && args.output_count == 1,
                 "[Copy] expected 1 input and 1 output but has %d and %d", args.input_count,
                 args.output_count);
  const Tensor &x = args.inputs[0], &y = args.outputs[0];
  SPECATTN_CHECK(x.size() == y.size(), "[Copy] y must have %lld elements but has %lld",
                 static_cast<long long>(x.size()), static_cast<long long>(y.size()));
  SPECATTN_CHECK(x.dtype == y.dtype || (IsFloat(x.dtype) && IsFloat(y.dtype)),
                 "[Copy] dtype %s cannot be copied to dtype %s; Cast converts", NameOf(x.dtype),
                 NameOf(y.dtype));
  return Ok();
}

}  // namespace
}  // namespace specattn

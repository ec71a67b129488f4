// Cast: converts a tensor to another dtype, element by element.
//
// inputs   x: float32, bfloat16, float16, int32 or bool
// attrs    none
// outputs  y: as many elements; float32, int32 or bool
//
// To int32 as JavaScript's Int32Array converts: towards zero, modulo 2^32, NaN to 0. To bool: x != 0.
#pragma once
#include "core/tensor.h"

namespace specattn {
namespace {

inline Status CheckCast(const Args& args) {
  SPECATTN_CHECK(args.input_count == 1 && args.output_count == 1,
                 "[Cast] expected 1 input and 1 output but has %d and %d", args.input_count,
                 args.output_count);
  const Tensor &x = args.inputs[0], &y = args.outputs[0];
  SPECATTN_CHECK(x.size() == y.size(), "[Cast] y must have %lld elements but has %lld",
                 static_cast<long long>(x.size()), static_cast<long long>(y.size()));
  SPECATTN_CHECK(SizeOf(y.dtype) != 2, "[Cast] y must be float32, int32 or bool; Copy writes the half types");
  return Ok();
}

}  // namespace
}  // namespace specattn

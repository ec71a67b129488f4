// Range: y[i] = start + i * step.
//
// inputs   none
// attrs    start, step
// outputs  y [N]: float32 or int32
//
// Each element is computed in float64 from i, so that the rounding errors of steps do not add up.
#pragma once
#include "core/check.h"

namespace specattn {
namespace {

inline Status CheckRange(const Args& args) {
  SPECATTN_RETURN_IF_ERROR(CheckCounts("Range", args, 0, 1, 2));
  const Tensor& out = args.outputs[0];
  SPECATTN_CHECK(out.dtype == DType::kFloat32 || out.dtype == DType::kInt32,
                 "[Range] the output must be float32 or int32");
  return Ok();
}

}  // namespace
}  // namespace specattn

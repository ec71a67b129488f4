// start, start + step, start + 2 step, …
//   attrs   start, step
//   output  [N], float32 | int32; computed in float64, so that the error of a step is not summed
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

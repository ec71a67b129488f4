// start, start + step, start + 2 step, …
//   attrs   start, step
//   output  [N], float32 | int32; computed in float64, so that the error of a step is not summed
#pragma once
#include "../tensor.h"

namespace specattn {
namespace {

inline Status CheckRange(const Args& args) {
  SPECATTN_CHECK(args.input_count == 0 && args.output_count == 1 && args.attr_count == 2,
                 "[Range] expected 1 output, start and step but has %d inputs, %d outputs, %d attributes",
                 args.input_count, args.output_count, args.attr_count);
  const Tensor& out = args.outputs[0];
  SPECATTN_CHECK(out.dtype == DType::kFloat32 || out.dtype == DType::kInt32,
                 "[Range] the output must be float32 or int32");
  return Ok();
}

}  // namespace
}  // namespace specattn

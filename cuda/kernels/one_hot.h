// One row an index, `on` at its place and `off` elsewhere; all `off` for an index out of range.
//   input   indices [...]: int32
//   attrs   on, off
//   output  [..., depth]: float32 | int32 | bool
#pragma once
#include "../tensor.h"

namespace specattn {
namespace {

inline Status CheckOneHot(const Args& args) {
  SPECATTN_CHECK(args.input_count == 1 && args.output_count == 1 && args.attr_count == 2,
                 "[OneHot] expected 1 input, 1 output, on and off but has %d, %d and %d attributes",
                 args.input_count, args.output_count, args.attr_count);
  const Tensor &indices = args.inputs[0], &out = args.outputs[0];
  SPECATTN_CHECK(indices.dtype == DType::kInt32, "[OneHot] indices must be int32 but are of dtype %d",
                 static_cast<int>(indices.dtype));
  SPECATTN_CHECK(SizeOf(out.dtype) != 2,
                 "[OneHot] the output must be float32, int32 or bool but is of dtype %d",
                 static_cast<int>(out.dtype));
  SPECATTN_CHECK(out.rank >= 1 && out.size() == indices.size() * out.dims[out.rank - 1],
                 "[OneHot] the output must have a row for each of %lld indices",
                 static_cast<long long>(indices.size()));
  return Ok();
}

}  // namespace
}  // namespace specattn

// OneHot: y[i, j] = (j == indices[i] ? on : off). An index out of range gives a row of `off`.
//
// inputs   indices [...] int32
// attrs    on, off
// outputs  y [..., depth]: float32, int32 or bool
#pragma once
#include "core/check.h"

namespace specattn {
namespace {

inline Status CheckOneHot(const Args& args) {
  SPECATTN_RETURN_IF_ERROR(CheckCounts("OneHot", args, 1, 1, 2));
  const Tensor &indices = args.inputs[0], &out = args.outputs[0];
  SPECATTN_RETURN_IF_ERROR(CheckDType("OneHot", "indices", indices, DType::kInt32));
  SPECATTN_CHECK(SizeOf(out.dtype) != 2, "[OneHot] the output must be float32, int32 or bool but is %s",
                 NameOf(out.dtype));
  SPECATTN_CHECK(out.rank >= 1 && out.size() == indices.size() * out.dims[out.rank - 1],
                 "[OneHot] the output must have a row for each of %lld indices",
                 static_cast<long long>(indices.size()));
  return Ok();
}

}  // namespace
}  // namespace specattn

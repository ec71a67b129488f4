// Slices of x, each at the place that several indices name.
//   inputs  x: float32 | int32 | bool; indices: int32, `depth` of them a slice
//   attrs   depth: how many of x's first dimensions a slice's indices run over, 1 to x's rank
//   output  x's dtype: as many slices x.shape[depth:] as there are places
// A place out of range gives zeros: a queued kernel cannot fail.
#pragma once
#include "core/check.h"
#include "core/nd_index.h"

namespace specattn {
namespace {

inline Status CheckGatherNd(const Args& args, NdIndex* places) {
  SPECATTN_RETURN_IF_ERROR(CheckCounts("GatherNd", args, 2, 1, 1));
  const Tensor &x = args.inputs[0], &indices = args.inputs[1], &y = args.outputs[0];
  SPECATTN_RETURN_IF_ERROR(CheckPlaces("GatherNd", indices, x, args.attrs[0], places));
  SPECATTN_CHECK(x.dtype == y.dtype, "[GatherNd] y must be of x's dtype %s but is %s", NameOf(x.dtype),
                 NameOf(y.dtype));
  SPECATTN_CHECK(y.size() == places->count * places->inner,
                 "[GatherNd] y must have %lld elements but has %lld",
                 static_cast<long long>(places->count * places->inner), static_cast<long long>(y.size()));
  return Ok();
}

}  // namespace
}  // namespace specattn

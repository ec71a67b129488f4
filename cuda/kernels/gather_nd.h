// GatherNd: picks slices of x, each by several indices.
//
//   y[i, ...] = x[indices[i, 0], ..., indices[i, depth - 1], ...]
//
// inputs   x: float32, int32 or bool; indices [..., depth] int32: one place in each row
// attrs    depth: how many of x's first dimensions a place's indices run over, 1 to x's rank
// outputs  y: x's dtype; one slice x.shape[depth:] for each place
//
// A place out of range gives zeros, since a queued kernel cannot report an error.
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

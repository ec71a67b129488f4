// Updates put into a tensor at places: ScatterNd, TensorScatterUpdate, SparseToDense, UnsortedSegmentSum, Bincount.
//   inputs  indices: int32, `depth` of them a place; updates: a slice y.shape[depth:] for each place, or one number for all;
//           base: what y holds before, as many elements as y or one number for all
//   attrs   depth: how many of y's first dimensions a place's indices run over, 1 to y's rank;
//           adds: 1 to add updates to what is there, 0 to put the last of a place's updates in its stead
//   output  y; all but indices are of one dtype: float32 | int32, or bool where adds is 0
// A place out of range is passed over: a queued kernel cannot fail. int32 wraps. On the CPU updates are added in their order;
// on CUDA floats in any order, so that the last bits of a sum may differ from run to run.
#pragma once
#include "core/check.h"
#include "core/nd_index.h"

namespace specattn {
namespace {

struct ScatterCall {
  NdIndex places;
  bool adds = false, one_update = false, one_base = false;
};

inline Status CheckScatter(const Args& args, ScatterCall* call) {
  SPECATTN_RETURN_IF_ERROR(CheckCounts("Scatter", args, 3, 1, 2));
  const Tensor &updates = args.inputs[1], &base = args.inputs[2], &y = args.outputs[0];
  NdIndex& places = call->places;
  SPECATTN_RETURN_IF_ERROR(CheckPlaces("Scatter", args.inputs[0], y, args.attrs[0], &places));
  call->adds = args.attrs[1] != 0;
  SPECATTN_CHECK(updates.dtype == y.dtype && base.dtype == y.dtype,
                 "[Scatter] updates and base must be of y's dtype %s but are %s and %s", NameOf(y.dtype),
                 NameOf(updates.dtype), NameOf(base.dtype));
  SPECATTN_CHECK(!(call->adds && y.dtype == DType::kBool), "[Scatter] bools can't be added");
  SPECATTN_CHECK(places.count <= INT32_MAX, "[Scatter] at most %d places but there are %lld", INT32_MAX,
                 static_cast<long long>(places.count));
  const int64_t size = places.count * places.inner;
  call->one_update = updates.size() == 1 && size != 1;
  SPECATTN_CHECK(call->one_update || updates.size() == size,
                 "[Scatter] updates must have 1 or %lld elements but have %lld", static_cast<long long>(size),
                 static_cast<long long>(updates.size()));
  call->one_base = base.size() == 1 && y.size() != 1;
  SPECATTN_CHECK(call->one_base || base.size() == y.size(),
                 "[Scatter] base must have 1 or %lld elements but has %lld", static_cast<long long>(y.size()),
                 static_cast<long long>(base.size()));
  return Ok();
}

}  // namespace
}  // namespace specattn

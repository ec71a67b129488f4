// Scatter: writes slices into a tensor at places that indices name, or adds them to what is there (ScatterNd,
// TensorScatterUpdate, SparseToDense, UnsortedSegmentSum, Bincount).
//
//   y = base; then for each n: y[place] = updates[n], or y[place] += updates[n] if adds,
//   with place = indices[n, 0], ..., indices[n, depth - 1]
//
// inputs   indices [..., depth] int32: one place in each row
//          updates: one slice y.shape[depth:] for each place, or one number for all
//          base: y's elements before, or one number for all
// attrs    depth: how many of y's first dimensions a place's indices run over, 1 to y's rank
//          adds: 1 adds the updates; 0 replaces, and the last update of a place wins
// outputs  y; updates, base and y have one dtype: float32, int32, or bool if adds is 0
//
// A place out of range is skipped, since a queued kernel cannot report an error. int32 wraps. The CPU adds updates in
// their order. CUDA adds floats in any order, so that the last bits of a sum may differ from run to run.
#pragma once
#include "core/check.h"
#include "core/nd_index.h"

namespace specattn {
namespace {

struct ScatterCall {
  NdIndex places;
  bool adds = false, one_update = false, one_base = false;  // one_: a single number stands for all elements
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

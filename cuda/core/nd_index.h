// NdIndex: slices of a tensor that are named by their first indices. GatherNd reads such slices and Scatter writes them.
#pragma once
#include "core/host_device.h"
#include "core/tensor.h"

namespace specattn {
namespace {

// A list of `count` places. A place is `depth` indices, into the first `depth` dimensions of a tensor: it names a slice of
// `inner` elements.
struct NdIndex {
  int depth = 0;
  int64_t count = 0, inner = 1;
  int64_t dims[kMaxRank] = {};  // the tensor's first `depth` dimensions

  // The number of the slice that the indices at `place` name; -1 if an index is out of range.
  SPECATTN_HOST_DEVICE int64_t SliceOf(const int32_t* place) const {
    int64_t slice = 0;
    for (int i = 0; i < depth; ++i) {
      const int64_t index = place[i];
      if (index < 0 || index >= dims[i]) return -1;
      slice = slice * dims[i] + index;
    }
    return slice;
  }
  int64_t slices() const {
    int64_t n = 1;
    for (int i = 0; i < depth; ++i) n *= dims[i];
    return n;
  }
};

// Checks that `indices` holds places in x, of `indices_a_place` indices each, and fills `places`.
inline Status CheckPlaces(const char* op, const Tensor& indices, const Tensor& x, double indices_a_place,
                          NdIndex* places) {
  SPECATTN_CHECK(indices.dtype == DType::kInt32, "[%s] indices must be int32 but are %s", op,
                 NameOf(indices.dtype));
  const int64_t depth = Whole(indices_a_place);
  SPECATTN_CHECK(depth >= 1 && depth <= x.rank, "[%s] a place must be 1 to %d indices but is %g", op, x.rank,
                 indices_a_place);
  SPECATTN_CHECK(indices.size() % depth == 0, "[%s] %lld indices do not make places of %d", op,
                 static_cast<long long>(indices.size()), static_cast<int>(depth));
  places->depth = static_cast<int>(depth);
  places->count = indices.size() / depth;
  for (int i = 0; i < x.rank; ++i) {
    if (i < depth) {
      places->dims[i] = x.dims[i];
    } else {
      places->inner *= x.dims[i];
    }
  }
  return Ok();
}

}  // namespace
}  // namespace specattn

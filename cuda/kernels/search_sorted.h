// SearchSorted: where values belong in sorted rows.
//
//   y[b, m] = the number of elements of sorted[b] that are less than values[b, m] (upper: or equal to it)
//
// inputs   sorted [B,N], values [B,M]: both float32 or both int32; the rows of sorted ascend
// attrs    upper: 0 or 1
// outputs  y [B,M] int32
#pragma once
#include "core/check.h"
#include "core/host_device.h"

namespace specattn {
namespace {

struct SearchSortedSizes {
  int64_t n = 0, m = 0;
  bool upper = false;
};

// The number of the n ascending elements of row that are less than value; if upper, less than or equal to it.
template <class T>
SPECATTN_HOST_DEVICE inline int32_t PlaceIn(const T* row, int64_t n, T value, bool upper) {
  int64_t left = 0, right = n;
  while (left < right) {
    const int64_t middle = (left + right) / 2;
    if (upper ? row[middle] <= value : row[middle] < value) {
      left = middle + 1;
    } else {
      right = middle;
    }
  }
  return static_cast<int32_t>(right);
}

inline Status CheckSearchSorted(const Args& args, SearchSortedSizes* sizes) {
  SPECATTN_RETURN_IF_ERROR(CheckCounts("SearchSorted", args, 2, 1, 1));
  const Tensor &sorted = args.inputs[0], &values = args.inputs[1], &y = args.outputs[0];
  SPECATTN_CHECK(sorted.rank == 2 && values.rank == 2 && sorted.dims[0] == values.dims[0],
                 "[SearchSorted] sorted and values must be [B,N] and [B,M] but have ranks %d and %d",
                 sorted.rank, values.rank);
  SPECATTN_CHECK(
      sorted.dtype == values.dtype && (sorted.dtype == DType::kFloat32 || sorted.dtype == DType::kInt32),
      "[SearchSorted] sorted and values must both be float32 or int32 but have %s and %s",
      NameOf(sorted.dtype), NameOf(values.dtype));
  SPECATTN_CHECK(y.dtype == DType::kInt32 && y.size() == values.size(),
                 "[SearchSorted] y must be int32 of %lld elements but is %s and has %lld",
                 static_cast<long long>(values.size()), NameOf(y.dtype), static_cast<long long>(y.size()));
  *sizes = {sorted.dims[1], values.dims[1], args.attrs[0] != 0};
  return Ok();
}

}  // namespace
}  // namespace specattn

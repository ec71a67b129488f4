// Gather: picks slices of x along an axis by their indices, for example embedding rows of tokens.
//
//   y[b, o, i, :] = x[b, o, indices[b, i], :]   with x seen as [batch, outer, dim, inner]
//
// inputs   x: any storage; indices int32. Their first batchDims dimensions are the same.
// attrs    axis, batchDims (0 <= batchDims <= axis)
// outputs  y: x.shape[:axis] + indices.shape[batchDims:] + x.shape[axis + 1:]; float32 if x is stored as a float, else
//          x's dtype
//
// An index out of range gives zeros, since a queued kernel cannot report an error.
#pragma once
#include "core/check.h"

namespace specattn {
namespace {

struct GatherSizes {  // x [batch, outer, dim, inner], indices [batch, count], y [batch, outer, count, inner]
  int64_t batch = 1, outer = 1, dim = 1, inner = 1, count = 1;
};

inline Status CheckGather(const Args& args, GatherSizes* sizes) {
  SPECATTN_RETURN_IF_ERROR(CheckCounts("Gather", args, 2, 1, 2));
  const Tensor &x = args.inputs[0], &indices = args.inputs[1], &y = args.outputs[0];
  const int64_t axis = Whole(args.attrs[0]), batch_dims = Whole(args.attrs[1]);
  SPECATTN_CHECK(
      axis >= 0 && axis < x.rank && batch_dims >= 0 && batch_dims <= axis && batch_dims <= indices.rank,
      "[Gather] axis %g and batchDims %g do not fit ranks %d and %d", args.attrs[0], args.attrs[1], x.rank,
      indices.rank);
  SPECATTN_RETURN_IF_ERROR(CheckDType("Gather", "indices", indices, DType::kInt32));
  const DType expected = IsFloat(x.dtype) ? DType::kFloat32 : x.dtype;
  SPECATTN_RETURN_IF_ERROR(CheckDType("Gather", "the output", y, expected));
  int64_t batch = 1, outer = 1, inner = 1, count = 1;
  for (int i = 0; i < batch_dims; ++i) {
    SPECATTN_CHECK(x.dims[i] == indices.dims[i],
                   "[Gather] batch dimension %d is %lld in x but %lld in indices", i,
                   static_cast<long long>(x.dims[i]), static_cast<long long>(indices.dims[i]));
    batch *= x.dims[i];
  }
  for (int64_t i = batch_dims; i < axis; ++i) outer *= x.dims[i];
  for (int64_t i = axis + 1; i < x.rank; ++i) inner *= x.dims[i];
  for (int64_t i = batch_dims; i < indices.rank; ++i) count *= indices.dims[i];
  SPECATTN_CHECK(y.size() == batch * outer * count * inner,
                 "[Gather] the output must have %lld elements but has %lld",
                 static_cast<long long>(batch * outer * count * inner), static_cast<long long>(y.size()));
  *sizes = {batch, outer, x.dims[axis], inner, count};
  return Ok();
}

}  // namespace
}  // namespace specattn

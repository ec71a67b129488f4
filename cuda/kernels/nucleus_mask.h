// NucleusMask: marks the nucleus of each row of attention weights.
//
// Row r sees the keys <= position + r. Its nucleus is the smallest set of these keys whose weights sum to at least p of
// the sum over all of them; ties go to the lower index. Negative and NaN weights count as 0. A row without a positive
// weight has an empty nucleus. The search needs no sorting: see cpu/nucleus.h and gpu/nucleus/nucleus.cuh.
//
// inputs   weights [R,C] float32, position [1] int32: the position of row 0
// attrs    p in (0, 1]
// outputs  mask [R,C] bool: whether key c is in the nucleus of row r
#pragma once
#include "core/check.h"

namespace specattn {
namespace {

struct NucleusMaskCall {
  const Tensor *weights, *position, *mask;
  int64_t rows, capacity;  // R, C
  double p;
};

inline Status CheckNucleusMask(const Args& args, NucleusMaskCall* call) {
  SPECATTN_RETURN_IF_ERROR(CheckCounts("NucleusMask", args, 2, 1, 1));
  const Tensor &weights = args.inputs[0], &position = args.inputs[1], &mask = args.outputs[0];
  const double p = args.attrs[0];
  SPECATTN_RETURN_IF_ERROR(
      CheckTensor("NucleusMask", "weights", weights, DType::kFloat32, {kAnySize, kAnySize}));
  SPECATTN_RETURN_IF_ERROR(CheckTensor("NucleusMask", "position", position, DType::kInt32, {1}));
  SPECATTN_CHECK(p > 0 && p <= 1, "[NucleusMask] p must be in (0, 1] but is %g", p);
  const int64_t rows = weights.dims[0], capacity = weights.dims[1];
  SPECATTN_RETURN_IF_ERROR(CheckTensor("NucleusMask", "output", mask, DType::kBool, {rows, capacity}));
  *call = {&weights, &position, &mask, rows, capacity, p};
  return Ok();
}

}  // namespace
}  // namespace specattn

// SampleToken: the distribution of each row of logits after the filters temperature, top-k, top-p and min-p,
// in this order, and a token drawn from it by inversion with u = uniform(seed, position + t, stream)
// (random.h). Ties go to the lower index; temperature 0 is the one-hot of the argmax. NaN logits count as
// -inf; a row of nothing else gives token 0.
//
// inputs   logits [T,V] float32, seed [2] int32, position [1] int32
// attrs    temperature, topK (0: off), topP (1: off), minP (0: off), stream (0 to 3)
// outputs  token [T] int32, probabilities [T,V] float32
#pragma once
#include <cmath>

#include "core/check.h"

namespace specattn {
namespace {

struct Filters {
  float temperature;
  int64_t top_k;
  double top_p;
  float min_p;

  bool Search() const { return temperature > 0 && (top_k > 0 || top_p < 1); }
};

struct SampleTokenCall {
  const Tensor *logits, *seed, *position, *token, *probabilities;
  int64_t rows, size;  // T, V
  Filters filters;
  uint32_t stream;
};

inline Status CheckSampleToken(const Args& args, SampleTokenCall* call) {
  SPECATTN_RETURN_IF_ERROR(CheckCounts("SampleToken", args, 3, 2, 5));
  const Tensor &logits = args.inputs[0], &seed = args.inputs[1], &position = args.inputs[2];
  const Tensor &token = args.outputs[0], &probabilities = args.outputs[1];
  SPECATTN_RETURN_IF_ERROR(
      CheckTensor("SampleToken", "logits", logits, DType::kFloat32, {kAnySize, kAnySize}));
  const int64_t rows = logits.dims[0], size = logits.dims[1];
  SPECATTN_CHECK(size > 0 || rows == 0, "[SampleToken] logits must have at least one column but has none");
  SPECATTN_RETURN_IF_ERROR(CheckTensor("SampleToken", "seed", seed, DType::kInt32, {2}));
  SPECATTN_RETURN_IF_ERROR(CheckTensor("SampleToken", "position", position, DType::kInt32, {1}));
  SPECATTN_RETURN_IF_ERROR(CheckTensor("SampleToken", "token", token, DType::kInt32, {rows}));
  SPECATTN_RETURN_IF_ERROR(
      CheckTensor("SampleToken", "probabilities", probabilities, DType::kFloat32, {rows, size}));
  const double temperature = args.attrs[0], top_k = args.attrs[1], top_p = args.attrs[2],
               min_p = args.attrs[3];
  const double use = args.attrs[4];
  SPECATTN_CHECK(temperature >= 0 && temperature <= 3.4e38,
                 "[SampleToken] temperature must be 0 to 3.4e38 but is %g", temperature);
  SPECATTN_CHECK(top_k >= 0 && top_k <= INT32_MAX, "[SampleToken] topK must be 0 or more but is %g", top_k);
  SPECATTN_CHECK(top_p > 0 && top_p <= 1, "[SampleToken] topP must be in (0, 1] but is %g", top_p);
  SPECATTN_CHECK(min_p >= 0 && min_p <= 1, "[SampleToken] minP must be in [0, 1] but is %g", min_p);
  SPECATTN_CHECK(use == 0 || use == 1 || use == 2 || use == 3,
                 "[SampleToken] stream must be 0, 1, 2 or 3 but is %g", use);
  *call = {&logits,
           &seed,
           &position,
           &token,
           &probabilities,
           rows,
           size,
           {static_cast<float>(temperature), static_cast<int64_t>(top_k), top_p, static_cast<float>(min_p)},
           static_cast<uint32_t>(use)};
  return Ok();
}

}  // namespace
}  // namespace specattn

// SampleToken: turns each row of logits into a distribution over the vocabulary and draws a token from it.
//
// The distribution of row t is softmax(logits[t] / temperature) after these filters, in this order:
//   top-k  keeps the k largest probabilities
//   top-p  keeps the nucleus of what top-k left: the fewest tokens whose probabilities reach topP of the sum
//   min-p  keeps probabilities of at least minP times the largest one
// Ties go to the lower index. What is left is scaled to sum to 1. Temperature 0 gives the one-hot of the argmax.
// The token is drawn by inversion with u = Uniform(seed, position + t, stream) (core/random.h).
// NaN logits count as -inf. A row whose logits all count as -inf has no distribution: it gives the token -1 and
// probabilities of 0.
//
// inputs   logits [T,V] float32, seed [2] int32, position [1] int32: the position of row 0
//          settings [4] float32, may be left out: temperature, topK, topP, minP, in place of these attributes. A number
//          out of its range counts as the nearest one in it.
// attrs    temperature (0 or more), topK (0: off), topP in (0, 1] (1: off), minP in [0, 1] (0: off),
//          stream (0 to 3: what the random numbers are for)
// outputs  token [T] int32, probabilities [T,V] float32: the distribution after the filters
#pragma once
#include <cmath>

#include "core/check.h"
#include "core/host_device.h"

namespace specattn {
namespace {

struct Filters {
  float temperature;
  int32_t top_k;
  double top_p;
  float min_p;

  // Whether a threshold on the weights must be searched for, which takes scratch memory.
  bool Search() const { return temperature > 0 && (top_k > 0 || top_p < 1); }
};

// The filters that `settings` ask for. No host checked these numbers, so each that is out of its range counts as the
// nearest one in it, and NaN as the filter turned off (temperature: as 0).
SPECATTN_HOST_DEVICE inline Filters FiltersOf(const float* settings) {
  const float temperature = settings[0], top_k = settings[1], top_p = settings[2], min_p = settings[3];
  return {temperature > 0 ? (temperature < 3.4e38f ? temperature : 3.4e38f) : 0.0f,
          top_k >= 1 ? (top_k < 2147483520.0f ? static_cast<int32_t>(top_k) : INT32_MAX) : 0,
          top_p < 1 ? (top_p > 1e-30f ? static_cast<double>(top_p) : 1e-30) : 1.0,
          min_p > 0 ? (min_p < 1 ? min_p : 1.0f) : 0.0f};
}

struct SampleTokenCall {
  const Tensor *logits, *seed, *position, *token, *probabilities;
  int64_t rows, size;     // T, V
  const float* settings;  // on the device, or null: then `filters` hold
  Filters filters;
  uint32_t stream;
};

inline Status CheckSampleToken(const Args& args, SampleTokenCall* call) {
  const bool has_settings = args.input_count == 4;
  SPECATTN_RETURN_IF_ERROR(CheckCounts("SampleToken", args, has_settings ? 4 : 3, 2, 5));
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
  if (has_settings)
    SPECATTN_RETURN_IF_ERROR(CheckTensor("SampleToken", "settings", args.inputs[3], DType::kFloat32, {4}));
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
           has_settings ? args.inputs[3].as<float>() : nullptr,
           {static_cast<float>(temperature), static_cast<int32_t>(top_k), top_p, static_cast<float>(min_p)},
           static_cast<uint32_t>(use)};
  return Ok();
}

}  // namespace
}  // namespace specattn

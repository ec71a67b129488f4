// Multinomial: draws S samples with replacement from each row of logits or probabilities.
//
// inputs   logits [B,V] float32
// attrs    seed: any number, whose 64 bits are used
//          normalized: 1 if the rows are probabilities, 0 if they are logits
// outputs  y [B,S] int32: indices of columns
//
// Sample s of row b is drawn by inversion with a hash of (seed, b, s). So a seed gives the same samples again on one device.
// Another device gives them too, unless a draw falls within rounding of the boundary between two columns. Probabilities are
// taken as they are: what a row lacks to a sum of 1 goes to the last column.
#pragma once
#include <cstring>

#include "core/check.h"
#include "core/random.h"

namespace specattn {
namespace {

namespace multinomial {

SPECATTN_HOST_DEVICE inline double Uniform(const uint32_t (&seed)[2], int64_t row, int64_t sample) {
  const uint32_t h = Mix32(
      seed[0] ^ Mix32(seed[1] ^ Mix32(static_cast<uint32_t>(row) ^ Mix32(static_cast<uint32_t>(sample)))));
  return static_cast<double>(h >> 8) * 0x1p-24;
}

// The first of n columns whose running sum exceeds u; the last column if none does.
SPECATTN_HOST_DEVICE inline int32_t Find(const double* sums, int64_t n, double u) {
  int64_t low = 0, high = n - 1;
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (u < sums[middle]) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return static_cast<int32_t>(low);
}

}  // namespace multinomial

struct MultinomialCall {
  int64_t rows = 0, n = 0, samples = 0;
  uint32_t seed[2] = {};
  bool normalized = false;
};

inline Status CheckMultinomial(const Args& args, MultinomialCall* call) {
  SPECATTN_RETURN_IF_ERROR(CheckCounts("Multinomial", args, 1, 1, 2));
  const Tensor &x = args.inputs[0], &y = args.outputs[0];
  SPECATTN_CHECK(x.dtype == DType::kFloat32 && y.dtype == DType::kInt32,
                 "[Multinomial] logits must be float32 and the output int32 but are of %s and %s",
                 NameOf(x.dtype), NameOf(y.dtype));
  SPECATTN_CHECK(x.rank == 2 && y.rank == 2 && x.dims[0] == y.dims[0],
                 "[Multinomial] logits and the output must be matrices of as many rows");
  const int64_t rows = x.dims[0], n = x.dims[1], samples = y.dims[1];
  SPECATTN_CHECK(y.size() == 0 || n > 0, "[Multinomial] logits have no columns");
  *call = {rows, n, samples, {}, args.attrs[1] != 0};
  std::memcpy(call->seed, &args.attrs[0], sizeof call->seed);
  return Ok();
}

}  // namespace
}  // namespace specattn

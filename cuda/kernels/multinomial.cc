#include "multinomial.h"

#include "../cpu/parallel.h"
#include "../cpu/random.h"
#include "../cpu/simd.h"

namespace specattn {
namespace SPECATTN_ISA {
namespace {

inline double Uniform(const uint32_t (&seed)[2], int64_t row, int64_t sample) {
  const uint32_t h = Mix32(
      seed[0] ^ Mix32(seed[1] ^ Mix32(static_cast<uint32_t>(row) ^ Mix32(static_cast<uint32_t>(sample)))));
  return static_cast<double>(h >> 8) * 0x1p-24;
}

// Running sums of the weights of one row.
void Accumulate(const float* x, double* sums, int64_t n, bool normalized) {
  float max = x[0];
  for (int64_t i = 1; i < n; ++i) max = x[i] > max ? x[i] : max;
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) {
    sum +=
        normalized ? static_cast<double>(x[i]) : ::exp(static_cast<double>(x[i]) - static_cast<double>(max));
    sums[i] = sum;
  }
}

// The first event whose running sum exceeds u; the last if none does.
inline int32_t Find(const double* sums, int64_t n, double u) {
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

}  // namespace

Status Multinomial(Stream& stream, const Args& args) {
  MultinomialSizes sizes;
  SPECATTN_RETURN_IF_ERROR(CheckMultinomial(args, &sizes));
  const Tensor &x = args.inputs[0], &y = args.outputs[0];
  const int64_t rows = sizes.rows, n = sizes.n, samples = sizes.samples;
  if (y.size() == 0) return Ok();
  const bool normalized = args.attrs[1] != 0;
  uint32_t seed[2];
  std::memcpy(seed, &args.attrs[0], sizeof seed);
  double* sums = static_cast<double*>(stream.Scratch(static_cast<size_t>(x.size()) * sizeof(double)));
  SPECATTN_CHECK(sums != nullptr, "[Multinomial] no memory for %lld running sums",
                 static_cast<long long>(x.size()));
  ParallelFor(stream, rows, 4096 / (n + samples) + 1, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      double* row = sums + r * n;
      Accumulate(x.as<float>() + r * n, row, n, normalized);
      const double total = normalized ? 1.0 : row[n - 1];
      for (int64_t s = 0; s < samples; ++s)
        y.as<int32_t>()[r * samples + s] = Find(row, n, Uniform(seed, r, s) * total);
    }
  });
  return Ok();
}

}  // namespace SPECATTN_ISA
}  // namespace specattn

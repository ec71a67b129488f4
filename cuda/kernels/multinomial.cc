// Multinomial on the CPU. Threads share the rows.
#include "kernels/multinomial.h"

#include "cpu/parallel.h"
#include "cpu/simd.h"

namespace specattn {
namespace SPECATTN_ISA {
namespace {

// sums[i] = the sum of weights 0 ... i of a row x [n]. A weight is x[i] if normalized, else exp(x[i] - max(x)).
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

}  // namespace

Status Multinomial(Stream& stream, const Args& args) {
  MultinomialCall call;
  SPECATTN_RETURN_IF_ERROR(CheckMultinomial(args, &call));
  const Tensor &x = args.inputs[0], &y = args.outputs[0];
  const int64_t rows = call.rows, n = call.n, samples = call.samples;
  if (y.size() == 0) return Ok();
  double* sums = static_cast<double*>(stream.Scratch(static_cast<size_t>(x.size()) * sizeof(double)));
  SPECATTN_CHECK(sums != nullptr, "[Multinomial] no memory for %lld running sums",
                 static_cast<long long>(x.size()));
  ParallelFor(stream, rows, 4096 / (n + samples) + 1, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      double* row = sums + r * n;
      Accumulate(x.as<float>() + r * n, row, n, call.normalized);
      const double total = call.normalized ? 1.0 : row[n - 1];
      for (int64_t s = 0; s < samples; ++s)
        y.as<int32_t>()[r * samples + s] =
            multinomial::Find(row, n, multinomial::Uniform(call.seed, r, s) * total);
    }
  });
  return Ok();
}

}  // namespace SPECATTN_ISA
}  // namespace specattn

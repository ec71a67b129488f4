// Softmax of the last axis, or its logarithm.
//   input   x [..., n], float32
//   attrs   1 for the logarithm
//   output  x's shape, float32: e^(x - max) / sum, or x - max - log(sum)
// A row with NaN or +inf, or of -inf alone, is NaN (the logarithm of one with +inf in part).
#include "../cpu/parallel.h"
#include "../cpu/simd.h"

namespace specattn {
namespace SPECATTN_ISA {
namespace {

void Row(const float* x, float* y, int64_t n, bool logarithm) {
  Vec best = Splat(x[0]);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) best = Max(Load(x + i), best);
  float max = Max(best);
  for (; i < n; ++i) max = x[i] > max ? x[i] : max;

  Vec total{};
  for (i = 0; i + kLanes <= n; i += kLanes) {
    const Vec e = Exp(Load(x + i) - max);
    Store(y + i, e);
    total += e;
  }
  if (i < n) {
    const size_t bytes = static_cast<size_t>(n - i) * 4;
    Vec e = Splat(-INFINITY);
    std::memcpy(&e, x + i, bytes);
    e = Exp(e - max);
    std::memcpy(y + i, &e, bytes);
    total += e;
  }
  const float sum = Sum(total);
  if (logarithm) {
    const float shift = ::logf(sum);
    for (i = 0; i < n; ++i) y[i] = (x[i] - max) - shift;
  } else {
    const float scale = 1.0f / sum;
    for (i = 0; i < n; ++i) y[i] *= scale;
  }
}

}  // namespace

Status Softmax(Stream& stream, const Args& args) {
  SPECATTN_CHECK(args.input_count == 1 && args.output_count == 1 && args.attr_count == 1,
                 "[Softmax] expected 1 input, 1 output and 1 attribute but has %d, %d and %d",
                 args.input_count, args.output_count, args.attr_count);
  const Tensor &x = args.inputs[0], &y = args.outputs[0];
  SPECATTN_CHECK(x.dtype == DType::kFloat32 && y.dtype == DType::kFloat32,
                 "[Softmax] x and the output must be float32 but are of dtypes %d and %d",
                 static_cast<int>(x.dtype), static_cast<int>(y.dtype));
  SPECATTN_CHECK(x.size() == y.size(), "[Softmax] the output must have %lld elements but has %lld",
                 static_cast<long long>(x.size()), static_cast<long long>(y.size()));
  if (x.size() == 0) return Ok();
  const int64_t n = x.rank > 0 ? x.dims[x.rank - 1] : 1;
  const bool logarithm = args.attrs[0] != 0;
  const float* in = x.as<float>();
  float* out = y.as<float>();
  ParallelFor(stream, x.size() / n, 16384 / n + 1, [=](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) Row(in + r * n, out + r * n, n, logarithm);
  });
  return Ok();
}

}  // namespace SPECATTN_ISA
}  // namespace specattn

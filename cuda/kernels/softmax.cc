// Softmax on the CPU. Threads share the rows.
#include "kernels/softmax.h"

#include "cpu/parallel.h"
#include "cpu/simd.h"

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
  SoftmaxSizes sizes;
  SPECATTN_RETURN_IF_ERROR(CheckSoftmax(args, &sizes));
  const int64_t n = sizes.n;
  const bool logarithm = args.attrs[0] != 0;
  const float* in = args.inputs[0].as<float>();
  float* out = args.outputs[0].as<float>();
  if (sizes.rows * n == 0) return Ok();
  ParallelFor(stream, sizes.rows, 16384 / n + 1, [=](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) Row(in + r * n, out + r * n, n, logarithm);
  });
  return Ok();
}

}  // namespace SPECATTN_ISA
}  // namespace specattn

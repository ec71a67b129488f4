// Cumsum on the CPU. Threads share the rows along the axis.
#include "kernels/cumsum.h"

#include "core/convert.h"
#include "cpu/parallel.h"

namespace specattn {
namespace SPECATTN_ISA {
namespace {

template <class In, class Out>
void Run(Stream& stream, const Tensor& x, const Tensor& y, const CumsumCall& call) {
  const In* in = x.as<In>();
  Out* out = y.as<Out>();
  const int64_t n = call.n, inner = call.inner;
  const bool exclusive = call.exclusive, reverse = call.reverse, product = call.product;
  ParallelFor(stream, call.outer * inner, 8192 / n + 1, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      int64_t at = i / inner * n * inner + i % inner + (reverse ? (n - 1) * inner : 0);
      const int64_t step = reverse ? -inner : inner;
      double acc = product ? 1 : 0;
      for (int64_t j = 0; j < n; ++j, at += step) {
        const double value = static_cast<double>(in[at]);
        const double next = product ? acc * value : acc + value;
        Convert(exclusive ? acc : next, out + at);
        acc = next;
      }
    }
  });
}

}  // namespace

Status Cumsum(Stream& stream, const Args& args) {
  CumsumCall call;
  SPECATTN_RETURN_IF_ERROR(CheckCumsum(args, &call));
  const Tensor &x = args.inputs[0], &y = args.outputs[0];
  if (x.size() == 0) return Ok();
  if (x.dtype == DType::kFloat32) {
    Run<float, float>(stream, x, y, call);
  } else if (x.dtype == DType::kInt32) {
    Run<int32_t, int32_t>(stream, x, y, call);
  } else {
    Run<uint8_t, int32_t>(stream, x, y, call);
  }
  return Ok();
}

}  // namespace SPECATTN_ISA
}  // namespace specattn

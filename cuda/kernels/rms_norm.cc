// RMSNorm on the CPU. Threads share the rows.
#include "kernels/rms_norm.h"

#include "cpu/kernels.h"
#include "cpu/parallel.h"
#include "cpu/rms_norm.h"
#include "cpu/with_float.h"

namespace specattn {
namespace SPECATTN_ISA {

Status RMSNorm(Stream& stream, const Args& args) {
  SPECATTN_RETURN_IF_ERROR(CheckRMSNorm(args));
  const Tensor& x = args.inputs[0];
  const Tensor& weight = args.inputs[1];
  const Tensor& y = args.outputs[0];
  const int64_t rows = x.dims[0], width = x.dims[1];
  const float epsilon = static_cast<float>(args.attrs[0]);
  if (y.size() == 0) return Ok();

  WithFloat(x.dtype, [&](auto x_type) {
    WithFloat(weight.dtype, [&](auto w_type) {
      const auto* from = x.as<decltype(x_type)>();
      const auto* gain = weight.as<decltype(w_type)>();
      ParallelFor(stream, rows, 1 + 65536 / width, [&](int64_t begin, int64_t end) {
        for (int64_t t = begin; t < end; ++t)
          NormRow(from + t * width, gain, epsilon, y.as<float>() + t * width, width);
      });
    });
  });
  return Ok();
}

}  // namespace SPECATTN_ISA
}  // namespace specattn

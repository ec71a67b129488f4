// SwiGLU: y[t,f] = silu(gate) * up = gate / (1 + exp(-gate)) * up with gate = x[t,f], up = x[t,F+f]   (arXiv
// 2002.05202)
//
// inputs   x [T,2F] float32: gate, then up
// attrs    none
// outputs  y [T,F] float32
#include "../cpu/swiglu.h"

#include "../check.h"
#include "../cpu/kernels.h"
#include "../cpu/parallel.h"

namespace specattn {
namespace SPECATTN_ISA {

Status SwiGLU(Stream& stream, const Args& args) {
  SPECATTN_RETURN_IF_ERROR(CheckCounts("SwiGLU", args, 1, 1, 0));
  const Tensor& x = args.inputs[0];
  const Tensor& y = args.outputs[0];
  SPECATTN_RETURN_IF_ERROR(CheckTensor("SwiGLU", "x", x, DType::kFloat32, {kAnySize, kAnySize}));
  SPECATTN_CHECK(x.dims[1] % 2 == 0, "[SwiGLU] x must have an even width (gate, up) but has %lld",
                 static_cast<long long>(x.dims[1]));
  const int64_t rows = x.dims[0], width = x.dims[1] / 2;
  SPECATTN_RETURN_IF_ERROR(CheckTensor("SwiGLU", "output", y, DType::kFloat32, {rows, width}));
  if (y.size() == 0) return Ok();

  ParallelFor(stream, rows, 1 + 16384 / width, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const float* gate = x.as<float>() + t * 2 * width;
      GateRow(gate, gate + width, y.as<float>() + t * width, width);
    }
  });
  return Ok();
}

}  // namespace SPECATTN_ISA
}  // namespace specattn

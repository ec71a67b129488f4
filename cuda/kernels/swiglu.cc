// SwiGLU on the CPU. Threads share the rows.
#include "kernels/swiglu.h"

#include "cpu/kernels.h"
#include "cpu/parallel.h"
#include "cpu/swiglu.h"

namespace specattn {
namespace SPECATTN_ISA {

Status SwiGLU(Stream& stream, const Args& args) {
  SPECATTN_RETURN_IF_ERROR(CheckSwiGLU(args));
  const Tensor& x = args.inputs[0];
  const Tensor& y = args.outputs[0];
  const int64_t rows = y.dims[0], width = y.dims[1];
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

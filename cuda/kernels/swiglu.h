// SwiGLU: y[t,f] = silu(gate) * up with gate = x[t,f], up = x[t,F+f] and silu(z) = z / (1 + exp(-z))   (arXiv 2002.05202)
//
// inputs   x [T,2F] float32: the gate's F columns, then those of up
// attrs    none
// outputs  y [T,F] float32
#pragma once
#include "core/check.h"

namespace specattn {
namespace {

inline Status CheckSwiGLU(const Args& args) {
  SPECATTN_RETURN_IF_ERROR(CheckCounts("SwiGLU", args, 1, 1, 0));
  const Tensor& x = args.inputs[0];
  SPECATTN_RETURN_IF_ERROR(CheckTensor("SwiGLU", "x", x, DType::kFloat32, {kAnySize, kAnySize}));
  SPECATTN_CHECK(x.dims[1] % 2 == 0, "[SwiGLU] x must have an even width (gate, up) but has %lld",
                 static_cast<long long>(x.dims[1]));
  return CheckTensor("SwiGLU", "output", args.outputs[0], DType::kFloat32, {x.dims[0], x.dims[1] / 2});
}

}  // namespace
}  // namespace specattn

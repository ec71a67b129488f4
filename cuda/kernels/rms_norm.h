// RMSNorm: y[t,e] = x[t,e] / sqrt(mean_e(x[t,e]^2) + epsilon) * weight[e]   (arXiv 1910.07467)
//
// inputs   x [T,E]; weight [E]: each float32, bfloat16 or float16
// attrs    epsilon
// outputs  y [T,E] float32
#pragma once
#include "core/check.h"

namespace specattn {
namespace {

inline Status CheckRMSNorm(const Args& args) {
  SPECATTN_RETURN_IF_ERROR(CheckCounts("RMSNorm", args, 2, 1, 1));
  const Tensor& x = args.inputs[0];
  SPECATTN_RETURN_IF_ERROR(CheckFloat("RMSNorm", "x", x));
  SPECATTN_RETURN_IF_ERROR(CheckShape("RMSNorm", "x", x, {kAnySize, kAnySize}));
  const int64_t rows = x.dims[0], width = x.dims[1];
  SPECATTN_RETURN_IF_ERROR(CheckFloat("RMSNorm", "weight", args.inputs[1]));
  SPECATTN_RETURN_IF_ERROR(CheckShape("RMSNorm", "weight", args.inputs[1], {width}));
  return CheckTensor("RMSNorm", "output", args.outputs[0], DType::kFloat32, {rows, width});
}

}  // namespace
}  // namespace specattn

// Linear: a projection of a layer together with the operations around it.
//
//   y   = (norm ? RMSNorm(x, norm, epsilon) : x) . weight^T + bias
//   out = (gated ? silu(y[:, :N/2]) * y[:, N/2:] : y) + residual
//
// inputs   x [T,K] float32
//          weight [N,K] float32, bfloat16 or float16
//          then, in this order, those that the attributes announce, all float32: norm [K], bias [N], residual [T,N']
// attrs    epsilon: RMSNorm's
//          norm, bias: 1 if there is such an input, else 0
//          gated: 1 for SwiGLU, whose gate is the first half of y, else 0
//          residual: 1 if there is such an input, else 0
// outputs  out [T,N'] float32 with N' = gated ? N/2 : N
//
// On the CPU a row's result does not depend on T. On CUDA it does not for T <= 32; more rows take another kernel, which
// rounds differently.
#pragma once
#include "core/check.h"

namespace specattn {
namespace {

struct LinearCall {
  const Tensor* x;
  const Tensor* weight;
  const Tensor* norm;      // null: not normalised
  const Tensor* bias;      // null: none
  const Tensor* residual;  // null: none
  const Tensor* out;
  int64_t rows, inner, cols;  // T, K, N
  bool gated;
  float epsilon;

  // N': columns of the output
  int64_t out_cols() const { return gated ? cols / 2 : cols; }
};

inline Status CheckLinear(const Args& args, LinearCall* call) {
  SPECATTN_CHECK(args.attr_count == 5, "[Linear] takes 5 attributes but got %d", args.attr_count);
  const bool has_norm = args.attrs[1] != 0, has_bias = args.attrs[2] != 0, has_residual = args.attrs[4] != 0;
  SPECATTN_RETURN_IF_ERROR(CheckCounts("Linear", args, 2 + has_norm + has_bias + has_residual, 1, 5));
  const Tensor* next = args.inputs;
  const Tensor* x = next++;
  const Tensor* weight = next++;
  const Tensor* norm = has_norm ? next++ : nullptr;
  const Tensor* bias = has_bias ? next++ : nullptr;
  const Tensor* residual = has_residual ? next++ : nullptr;
  const bool gated = args.attrs[3] != 0;

  SPECATTN_RETURN_IF_ERROR(CheckTensor("Linear", "x", *x, DType::kFloat32, {kAnySize, kAnySize}));
  const int64_t rows = x->dims[0], inner = x->dims[1];
  SPECATTN_RETURN_IF_ERROR(CheckFloat("Linear", "weight", *weight));
  SPECATTN_RETURN_IF_ERROR(CheckShape("Linear", "weight", *weight, {kAnySize, inner}));
  const int64_t cols = weight->dims[0];
  SPECATTN_CHECK(!gated || cols % 2 == 0,
                 "[Linear] weight must have an even number of rows (gate, up) but has %lld",
                 static_cast<long long>(cols));
  *call = {x,
           weight,
           norm,
           bias,
           residual,
           args.outputs,
           rows,
           inner,
           cols,
           gated,
           static_cast<float>(args.attrs[0])};
  const int64_t out_cols = call->out_cols();
  if (norm) SPECATTN_RETURN_IF_ERROR(CheckTensor("Linear", "norm", *norm, DType::kFloat32, {inner}));
  if (bias) SPECATTN_RETURN_IF_ERROR(CheckTensor("Linear", "bias", *bias, DType::kFloat32, {cols}));
  if (residual)
    SPECATTN_RETURN_IF_ERROR(CheckTensor("Linear", "residual", *residual, DType::kFloat32, {rows, out_cols}));
  return CheckTensor("Linear", "output", *call->out, DType::kFloat32, {rows, out_cols});
}

}  // namespace
}  // namespace specattn

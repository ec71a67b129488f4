// Linear: a layer's projection with its neighbours, in one launch.
//
//   y = (norm ? RMSNorm(x, norm, epsilon) : x) . weight^T + bias
//   out = (gated ? silu(y[:, :N/2]) * y[:, N/2:] : y) + residual
//
// inputs   x [T,K] float32, weight [N,K] float32, bfloat16 or float16; then those that the attributes announce, all
//          float32 and in this order: norm [K], bias [N], residual [T,N']
// attrs    epsilon, norm (0, 1), bias (0, 1), gated (0, 1), residual (0, 1)
// outputs  out [T,N'] float32; N' = gated ? N/2 : N
//
// A row's result does not depend on T; on CUDA up to 32 rows, beyond which another product takes over.
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

  // N'
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

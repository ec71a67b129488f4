// RotaryEmbedding: rotates the pairs of elements (i, i + D/2) of every head by the angle (position + t) * frequencies[i]
// (arXiv 2104.09864; the pairs are those of Hugging Face's Llama).
//
//   y[t, h, i]       = scale * (x[t, h, i] * cos(angle) - x[t, h, i + D/2] * sin(angle))
//   y[t, h, i + D/2] = scale * (x[t, h, i + D/2] * cos(angle) + x[t, h, i] * sin(angle))
//
// inputs   x [T,H,D] float32
//          position [1] int32: the position of row 0
//          frequencies [D/2] float32
// attrs    scale: YaRN's, else 1
// outputs  y [T,H,D] float32
#pragma once
#include "core/check.h"

namespace specattn {
namespace {

inline Status CheckRotaryEmbedding(const Args& args) {
  SPECATTN_RETURN_IF_ERROR(CheckCounts("RotaryEmbedding", args, 3, 1, 1));
  const Tensor& x = args.inputs[0];
  SPECATTN_RETURN_IF_ERROR(
      CheckTensor("RotaryEmbedding", "x", x, DType::kFloat32, {kAnySize, kAnySize, kAnySize}));
  const int64_t rows = x.dims[0], heads = x.dims[1], size = x.dims[2];
  SPECATTN_CHECK(size % 2 == 0, "[RotaryEmbedding] x must have an even head size but has %lld",
                 static_cast<long long>(size));
  SPECATTN_RETURN_IF_ERROR(CheckTensor("RotaryEmbedding", "position", args.inputs[1], DType::kInt32, {1}));
  SPECATTN_RETURN_IF_ERROR(
      CheckTensor("RotaryEmbedding", "frequencies", args.inputs[2], DType::kFloat32, {size / 2}));
  return CheckTensor("RotaryEmbedding", "output", args.outputs[0], DType::kFloat32, {rows, heads, size});
}

}  // namespace
}  // namespace specattn

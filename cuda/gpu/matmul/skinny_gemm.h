// SkinnyGemm: out = epilogue(norm(x) . weight^T) for 1 to 32 rows, the decoding case: every weight is read once, at the
// speed of memory.
#pragma once
#include "gpu/runtime/stream.h"

namespace specattn {
namespace gpu {

constexpr int64_t kSkinnyRows = 32;

// y = (norm ? RMSNorm(x, norm, epsilon) : x) . weight^T + bias; gated: y = silu(y[:, :N/2]) * y[:, N/2:];
// out = y + residual. Pointers that may be null say which steps are left out.
struct SkinnyGemmCall {
  const char* op;
  int64_t rows, inner, cols;  // M <= kSkinnyRows, K, N
  const float* x;             // [M,K]
  const void* weight;         // [N,K] bfloat16 or float16
  DType storage;
  const float* norm = nullptr;  // [K]
  float epsilon = 0;
  const float* bias = nullptr;      // [N]
  bool gated = false;               // N' = N/2, else N
  const float* residual = nullptr;  // [M,N']
  float* out = nullptr;             // [M,N']
};

// Whether a call has this form: rows, storage, and sizes that make whole tiles and 16-byte loads.
inline bool SuitsSkinnyGemm(const SkinnyGemmCall& call) {
  return call.rows <= kSkinnyRows && call.inner % 8 == 0 && call.inner > 0 && call.inner < INT32_MAX / 2 &&
         call.cols % (call.gated ? 16 : 8) == 0 &&
         (call.storage == DType::kBFloat16 || call.storage == DType::kFloat16);
}

Status SkinnyGemm(CudaStream& stream, const SkinnyGemmCall& call);

}  // namespace gpu
}  // namespace specattn

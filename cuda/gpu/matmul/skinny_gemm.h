// SkinnyGemm: out = epilogue(norm(x) . weight^T) for 1 to 32 rows, as decoding and verification have them, in one launch. It
// reads every weight once from memory, and that bounds its time.
#pragma once
#include "gpu/runtime/stream.h"

namespace specattn {
namespace gpu {

constexpr int64_t kSkinnyRows = 32;  // most rows of a SkinnyGemm

// y = (norm ? RMSNorm(x, norm, epsilon) : x) . weight^T + bias; if gated, y = silu(y[:, :N/2]) * y[:, N/2:];
// out = y + residual. A null norm, bias or residual leaves its step out. x, weight and norm are 16-byte aligned.
struct SkinnyGemmCall {
  const char* op;               // name for error messages
  int64_t rows, inner, cols;    // M <= kSkinnyRows, K, N
  const float* x;               // [M,K]
  const void* weight;           // [N,K] bfloat16 or float16
  DType storage;                // type of weight
  const float* norm = nullptr;  // [K]
  float epsilon = 0;
  const float* bias = nullptr;      // [N]
  bool gated = false;               // N' = N/2, else N
  const float* residual = nullptr;  // [M,N']
  float* out = nullptr;             // [M,N']
};

// Whether SkinnyGemm takes a call: few enough rows, weights of 16 bits, and sizes of whole tiles and whole 16-byte loads.
inline bool SuitsSkinnyGemm(const SkinnyGemmCall& call) {
  return call.rows <= kSkinnyRows && call.inner % 8 == 0 && call.inner > 0 && call.inner < INT32_MAX / 2 &&
         call.cols % (call.gated ? 16 : 8) == 0 &&
         (call.storage == DType::kBFloat16 || call.storage == DType::kFloat16);
}

// Queues a call. Returns an error where SuitsSkinnyGemm(call) is false.
Status SkinnyGemm(CudaStream& stream, const SkinnyGemmCall& call);

}  // namespace gpu
}  // namespace specattn

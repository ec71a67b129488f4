// FewRows: out = epilogue(norm(x) . weight^T) for 1 to 32 rows, the decoding case: every weight is read once, at the
// speed of memory.
#pragma once
#include "stream.h"

namespace specattn {
namespace gpu {

constexpr int64_t kFewRows = 32;

// y = (norm ? RMSNorm(x, norm, epsilon) : x) . weight^T + bias; gated: y = silu(y[:, :N/2]) * y[:, N/2:];
// out = y + residual. Pointers that may be null say which steps are left out.
struct FewRowsCall {
  const char* op;
  int64_t rows, inner, cols;  // M <= kFewRows, K, N
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
inline bool SuitsFewRows(const FewRowsCall& call) {
  return call.rows <= kFewRows && call.inner % 8 == 0 && call.inner > 0 && call.inner < INT32_MAX / 2 &&
         call.cols % (call.gated ? 16 : 8) == 0 &&
         (call.storage == DType::kBFloat16 || call.storage == DType::kFloat16);
}

Status FewRows(CudaStream& stream, const FewRowsCall& call);

}  // namespace gpu
}  // namespace specattn

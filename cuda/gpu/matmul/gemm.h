// Gemm: products of more rows than SkinnyGemm takes (a prompt, a batch), on the tensor cores: cuBLASLt, or our own
// GEMM where it is missing.
#pragma once
#include "gpu/runtime/stream.h"

namespace specattn {
namespace gpu {

// What cuBLASLt works best with; a caller has it in its scratch memory.
constexpr size_t kGemmWorkspace = size_t{32} << 20;

// out [M,N] = a [M,K] . b [N,K]^T + beta * out, accumulated in float32. a and b are stored as `storage`, bfloat16 or
// float16, at addresses of 16 bytes; K is a multiple of 8. With beta 0 out is not read.
Status Gemm(CudaStream& stream, const char* op, const void* a, DType storage, const void* b, int64_t rows,
            int64_t cols, int64_t inner, float beta, float* out, void* workspace, size_t workspace_bytes);

// to [count] = from, rounded to nearest, in bfloat16 or float16.
Status ToHalf(CudaStream& stream, const char* op, const float* from, int64_t count, DType storage, void* to);

}  // namespace gpu
}  // namespace specattn

// Gemm: matrix products on the tensor cores with more rows than SkinnyGemm takes, such as a prompt's. It uses cuBLASLt, or
// our own kernel where cuBLASLt is missing.
#pragma once
#include "gpu/runtime/stream.h"

namespace specattn {
namespace gpu {

// Bytes of workspace that a caller of Gemm takes from its scratch memory: what NVIDIA recommends for cuBLAS on Hopper.
constexpr size_t kGemmWorkspace = size_t{32} << 20;

// Queues out [M,N] = a [M,K] . b [N,K]^T + beta * out, accumulated in float32; M, N and K are rows, cols and inner. a and b
// are stored as `storage`, bfloat16 or float16, at addresses that are multiples of 16 bytes. K must be a positive multiple
// of 8, else the result is an error. With beta 0 out is not read.
Status Gemm(CudaStream& stream, const char* op, const void* a, DType storage, const void* b, int64_t rows,
            int64_t cols, int64_t inner, float beta, float* out, void* workspace, size_t workspace_bytes);

// Queues to [count] = from, rounded to nearest. `storage` is the type of `to`, bfloat16 or float16.
Status ToHalf(CudaStream& stream, const char* op, const float* from, int64_t count, DType storage, void* to);

}  // namespace gpu
}  // namespace specattn

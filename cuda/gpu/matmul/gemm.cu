// Implements Gemm and ToHalf. Gemm uses cuBLASLt where the library was found and has an algorithm for the shape, and otherwise
// HalfGemm, our own kernel on the tensor cores.
#include "gpu/matmul/blas.h"
#include "gpu/matmul/gemm.h"
#include "gpu/matmul/half_gemm.cuh"

namespace specattn {
namespace gpu {
namespace {

// kEach: elements that a thread converts at a time, 16 bytes of the result.
constexpr int kThreads = 256, kEach = 8;

// to [count] = from, rounded to T. aligned: both addresses are multiples of 16 bytes, so that loads and stores of 16 bytes
// may be used.
template <class T>
__global__ void __launch_bounds__(kThreads)
    ToHalfKernel(const float* from, int64_t count, bool aligned, T* to) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * kThreads * kEach;
  for (int64_t i = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) * kEach; i < count;
       i += step) {
    if (aligned && i + kEach <= count) {
      const float4 x = *reinterpret_cast<const float4*>(from + i);
      const float4 y = *reinterpret_cast<const float4*>(from + i + 4);
      *reinterpret_cast<uint4*>(to + i) = make_uint4(PackPair(x.x, x.y, T{}), PackPair(x.z, x.w, T{}),
                                                     PackPair(y.x, y.y, T{}), PackPair(y.z, y.w, T{}));
    } else {
      const int64_t end = i + kEach < count ? i + kEach : count;
      for (int64_t j = i; j < end; ++j) FromFloat(from[j], to + j);
    }
  }
}

}  // namespace

Status ToHalf(CudaStream& stream, const char* op, const float* from, int64_t count, DType storage, void* to) {
  if (count == 0) return Ok();
  const int64_t blocks = CeilDiv<int64_t>(count, kThreads * kEach);
  constexpr int64_t kMostBlocks = 1 << 30;
  const dim3 grid(static_cast<unsigned>(blocks < kMostBlocks ? blocks : kMostBlocks));
  const bool aligned = (reinterpret_cast<uintptr_t>(from) | reinterpret_cast<uintptr_t>(to)) % 16 == 0;
  if (storage == DType::kBFloat16)
    return LaunchKernel(stream, op, Start::kInOrder, ToHalfKernel<BFloat16>, grid, dim3(kThreads), 0, from,
                        count, aligned, static_cast<BFloat16*>(to));
  return LaunchKernel(stream, op, Start::kInOrder, ToHalfKernel<Float16>, grid, dim3(kThreads), 0, from,
                      count, aligned, static_cast<Float16*>(to));
}

Status Gemm(CudaStream& stream, const char* op, const void* a, DType storage, const void* b, int64_t rows,
            int64_t cols, int64_t inner, float beta, float* out, void* workspace, size_t workspace_bytes) {
  if (rows == 0 || cols == 0) return Ok();
  SPECATTN_CHECK(inner > 0 && inner % 8 == 0, "[%s] the inner size must be a multiple of 8 but is %lld", op,
                 static_cast<long long>(inner));
  if (Blas* blas = stream.blas()) {
    const Status status = blas->Multiply(stream.stream(), storage, rows, cols, inner, a, b, beta, out,
                                         workspace, workspace_bytes);
    if (status.ok()) {
      stream.Launched();
      return Ok();
    }
  }
  return RunHalfGemm(stream, op, storage, {a, b, out, rows, cols, inner, beta});
}

}  // namespace gpu
}  // namespace specattn

// Softmax on CUDA. One block takes a row in three passes: the maximum, the sum, the results.
#include "gpu/primitives/reduce.cuh"
#include "kernels/softmax.h"

namespace specattn {
namespace gpu {
namespace {

constexpr int kMostThreads = 1024;

__global__ void __launch_bounds__(kMostThreads)
    Rows(const float* __restrict__ x, float* __restrict__ y, int64_t n, bool logarithm) {
  __shared__ float shared[kWarp];
  x += blockIdx.x * n;
  y += blockIdx.x * n;
  float max = -INFINITY;  // the maximum skips NaN, but e^(x - max) is NaN again
#pragma unroll 4
  for (int64_t i = threadIdx.x; i < n; i += blockDim.x) max = x[i] > max ? x[i] : max;
  max = BlockReduce(max, Maximum{}, -INFINITY, shared);

  float sum = 0;
#pragma unroll 4
  for (int64_t i = threadIdx.x; i < n; i += blockDim.x) sum += expf(x[i] - max);
  sum = BlockReduce(sum, Plus{}, 0.0f, shared);

  if (logarithm) {
    const float shift = logf(sum);
#pragma unroll 4
    for (int64_t i = threadIdx.x; i < n; i += blockDim.x) y[i] = (x[i] - max) - shift;
  } else {
    const float scale = 1.0f / sum;
#pragma unroll 4
    for (int64_t i = threadIdx.x; i < n; i += blockDim.x) y[i] = expf(x[i] - max) * scale;
  }
}

}  // namespace

Status Softmax(Stream& stream, const Args& args) {
  SoftmaxSizes sizes;
  SPECATTN_RETURN_IF_ERROR(CheckSoftmax(args, &sizes));
  if (sizes.rows * sizes.n == 0) return Ok();
  SPECATTN_CHECK(sizes.rows <= INT32_MAX, "[Softmax] at most %d rows but there are %lld", INT32_MAX,
                 static_cast<long long>(sizes.rows));
  int threads = kWarp;
  while (threads < kMostThreads && threads * 4 < sizes.n) threads *= 2;
  return LaunchKernel(static_cast<CudaStream&>(stream), "Softmax", Start::kInOrder, Rows,
                      static_cast<unsigned>(sizes.rows), threads, 0, args.inputs[0].as<float>(),
                      args.outputs[0].as<float>(), sizes.n, args.attrs[0] != 0);
}

}  // namespace gpu
}  // namespace specattn

// RMSNorm on CUDA, one block per row. From the sum of squares to the product each thread keeps its first elements of the
// row and of the weight in registers; the rest of a very wide row is read twice.
#include <algorithm>

#include "gpu/primitives/reduce.cuh"
#include "gpu/primitives/vec4.cuh"
#include "gpu/runtime/kernels.h"
#include "kernels/rms_norm.h"

namespace specattn {
namespace gpu {
namespace {

constexpr int kMaxThreads = 512;
constexpr int kHeld = 2;  // groups of four elements in a thread's registers

__device__ __forceinline__ float SumOfSquares(const float (&v)[4]) {
  return v[0] * v[0] + v[1] * v[1] + (v[2] * v[2] + v[3] * v[3]);
}

template <bool kAligned>
__device__ __forceinline__ void StoreScaled(float* y, int64_t e, int64_t width, const float (&v)[4],
                                            float scale, const float (&gain)[4]) {
  float out[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) out[i] = v[i] * scale * gain[i];
  StoreVec4<kAligned>(y, e, width, out);
}

// settled: whether weight may be read before the previous kernel has ended (gpu/runtime/launch.cuh).
template <class X, class W, bool kAligned>
__global__ void __launch_bounds__(kMaxThreads, 2)
    NormRows(const X* x, const W* weight, bool settled, float epsilon, float* y, int64_t rows,
             int64_t width) {
  __shared__ float shared[kWarp];
  const int64_t stride = 4 * int64_t{blockDim.x}, first = 4 * int64_t{threadIdx.x};
  float gain[kHeld][4];
  const auto load_gain = [&] {
#pragma unroll
    for (int n = 0; n < kHeld; ++n) LoadVec4<kAligned>(weight, first + n * stride, width, gain[n]);
  };
  if (settled) load_gain();
  WaitForPrevious();
  LetNextStart();
  if (!settled) load_gain();

  for (int64_t t = blockIdx.x; t < rows; t += gridDim.x) {
    const X* row = x + t * width;
    float* out = y + t * width;
    float held[kHeld][4];
#pragma unroll
    for (int n = 0; n < kHeld; ++n) LoadVec4<kAligned>(row, first + n * stride, width, held[n]);
    float sum = 0;
#pragma unroll
    for (int n = 0; n < kHeld; ++n) sum += SumOfSquares(held[n]);
    float v[4], w[4];
    for (int64_t e = first + kHeld * stride; e < width; e += stride) {
      LoadVec4<kAligned>(row, e, width, v);
      sum += SumOfSquares(v);
    }
    sum = BlockReduce(sum, Plus(), 0.0f, shared);
    const float scale = 1.0f / sqrtf(sum / static_cast<float>(width) + epsilon);
#pragma unroll
    for (int n = 0; n < kHeld; ++n)
      StoreScaled<kAligned>(out, first + n * stride, width, held[n], scale, gain[n]);
    for (int64_t e = first + kHeld * stride; e < width; e += stride) {
      LoadVec4<kAligned>(row, e, width, v);
      LoadVec4<kAligned>(weight, e, width, w);
      StoreScaled<kAligned>(out, e, width, v, scale, w);
    }
  }
}

}  // namespace

Status RMSNorm(Stream& stream, const Args& args) {
  SPECATTN_RETURN_IF_ERROR(CheckRMSNorm(args));
  auto& cuda = static_cast<CudaStream&>(stream);
  const Tensor& x = args.inputs[0];
  const Tensor& weight = args.inputs[1];
  const Tensor& y = args.outputs[0];
  if (y.size() == 0) return Ok();
  const int64_t rows = x.dims[0], width = x.dims[1];
  const dim3 grid(static_cast<unsigned>(std::min<int64_t>(rows, 2147483647)));
  const dim3 block(
      static_cast<unsigned>(std::min<int64_t>(kMaxThreads, CeilDiv<int64_t>(width, 4 * kWarp) * kWarp)));
  return WithFloat(x.dtype, [&](auto x_type) {
    return WithFloat(weight.dtype, [&](auto w_type) {
      using X = decltype(x_type);
      using W = decltype(w_type);
      const auto kernel = width % 4 == 0 ? NormRows<X, W, true> : NormRows<X, W, false>;
      return LaunchKernel(cuda, "RMSNorm", Start::kEarly, kernel, grid, block, 0, x.as<X>(), weight.as<W>(),
                          cuda.Settled(weight.data), static_cast<float>(args.attrs[0]), y.as<float>(), rows,
                          width);
    });
  });
}

}  // namespace gpu
}  // namespace specattn

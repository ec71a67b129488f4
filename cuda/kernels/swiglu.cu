// SwiGLU on CUDA. A thread computes four elements; rows run along grid.x, the elements of a row along grid.y.
#include <algorithm>

#include "gpu/primitives/vec4.cuh"
#include "gpu/runtime/kernels.h"
#include "gpu/runtime/launch.cuh"
#include "kernels/swiglu.h"

namespace specattn {
namespace gpu {
namespace {

constexpr int kThreads = 128;

template <bool kAligned>
__global__ void __launch_bounds__(kThreads) GateRows(const float* x, float* y, int64_t rows, int64_t width) {
  WaitForPrevious();
  LetNextStart();
  for (int64_t t = blockIdx.x; t < rows; t += gridDim.x) {
    for (int64_t f = 4 * (int64_t{blockIdx.y} * kThreads + threadIdx.x); f < width;
         f += 4 * int64_t{gridDim.y} * kThreads) {
      float gate[4], up[4];
      LoadVec4<kAligned>(x + t * 2 * width, f, width, gate);
      LoadVec4<kAligned>(x + t * 2 * width + width, f, width, up);
#pragma unroll
      for (int i = 0; i < 4; ++i) up[i] *= gate[i] / (1.0f + expf(-gate[i]));
      StoreVec4<kAligned>(y + t * width, f, width, up);
    }
  }
}

}  // namespace

Status SwiGLU(Stream& stream, const Args& args) {
  SPECATTN_RETURN_IF_ERROR(CheckSwiGLU(args));
  const Tensor& x = args.inputs[0];
  const Tensor& y = args.outputs[0];
  if (y.size() == 0) return Ok();
  const int64_t rows = y.dims[0], width = y.dims[1];
  const dim3 grid(static_cast<unsigned>(std::min<int64_t>(rows, 2147483647)),
                  static_cast<unsigned>(std::min<int64_t>(CeilDiv<int64_t>(width, 4 * kThreads), 65535)));
  return LaunchKernel(static_cast<CudaStream&>(stream), "SwiGLU", Start::kEarly,
                      width % 4 == 0 ? GateRows<true> : GateRows<false>, grid, dim3(kThreads), 0,
                      x.as<float>(), y.as<float>(), rows, width);
}

}  // namespace gpu
}  // namespace specattn

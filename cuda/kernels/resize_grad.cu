// ResizeGrad on CUDA: one thread per element of dx.
#include "gpu/primitives/elementwise.cuh"
#include "kernels/resize_grad.h"

namespace specattn {
namespace gpu {
namespace {

__global__ void Elements(const __grid_constant__ ResizeGradCall call, const float* dy, float* dx, int64_t n) {
  const int64_t index = ElementIndex();
  if (index >= n) return;
  int64_t channel, row, column, rest = Divide(index, call.channels, &channel);
  rest = Divide(rest, call.columns.axis.in, &column);
  const int64_t image = Divide(rest, call.rows.axis.in, &row);
  int64_t top, bottom, left, right;
  call.rows.Range(row, &top, &bottom);
  call.columns.Range(column, &left, &right);
  float sum = 0;
  for (int64_t i = top; i < bottom; ++i) {
    const float weight = call.rows.Weight(i, row);
    const float* from =
        dy + (image * call.rows.axis.out + i) * call.columns.axis.out * call.channels + channel;
    for (int64_t j = left; j < right; ++j)
      sum += weight * call.columns.Weight(j, column) * from[j * call.channels];
  }
  dx[index] = sum;
}

}  // namespace

Status ResizeGrad(Stream& stream, const Args& args) {
  ResizeGradCall call;
  SPECATTN_RETURN_IF_ERROR(CheckResizeGrad(args, &call));
  const Tensor& dx = args.outputs[0];
  if (dx.size() == 0) return Ok();
  return LaunchKernel(static_cast<CudaStream&>(stream), "ResizeGrad", Start::kInOrder, Elements,
                      ElementGrid(dx.size()), kElementThreads, 0, call, args.inputs[0].as<float>(),
                      dx.as<float>(), dx.size());
}

}  // namespace gpu
}  // namespace specattn

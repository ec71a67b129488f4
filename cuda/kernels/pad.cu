// Pad on CUDA: one thread per element of the output.
#include "core/convert.h"
#include "gpu/primitives/elementwise.cuh"
#include "kernels/pad.h"

namespace specattn {
namespace gpu {
namespace {

template <class T>
__global__ void Elements(const __grid_constant__ PadCall call, const T* x, T* y, int64_t n, T constant) {
  const int64_t i = ElementIndex();
  if (i >= n) return;
  int64_t source = 0, step = 1, rest = i;
  for (int axis = call.rank - 1; axis >= 0; --axis) {
    int64_t index;
    rest = Divide(rest, call.out[axis], &index);
    const int64_t at = call.Source(axis, index);
    source = at < 0 || source < 0 ? -1 : source + at * step;
    step *= call.in[axis];
  }
  y[i] = source < 0 ? constant : x[source];
}

template <class T>
Status Run(Stream& stream, const PadCall& call, const Args& args) {
  const Tensor& y = args.outputs[0];
  T constant;
  Convert(call.constant, &constant);
  return LaunchKernel(static_cast<CudaStream&>(stream), "Pad", Start::kInOrder, Elements<T>,
                      ElementGrid(y.size()), kElementThreads, 0, call, args.inputs[0].as<T>(), y.as<T>(),
                      y.size(), constant);
}

}  // namespace

Status Pad(Stream& stream, const Args& args) {
  PadCall call;
  SPECATTN_RETURN_IF_ERROR(CheckPad(args, &call));
  const Tensor& y = args.outputs[0];
  if (y.size() == 0) return Ok();
  if (y.dtype == DType::kBool) return Run<uint8_t>(stream, call, args);
  if (y.dtype == DType::kInt32) return Run<int32_t>(stream, call, args);
  return Run<float>(stream, call, args);
}

}  // namespace gpu
}  // namespace specattn

// Range on CUDA: one thread per element.
#include "core/convert.h"
#include "gpu/primitives/elementwise.cuh"
#include "kernels/range.h"

namespace specattn {
namespace gpu {
namespace {

template <class T>
__global__ void Elements(T* out, int64_t n, double start, double step) {
  const int64_t i = ElementIndex();
  if (i < n) Convert(start + static_cast<double>(i) * step, out + i);
}

template <class T>
Status Run(Stream& stream, const Args& args) {
  const Tensor& out = args.outputs[0];
  return LaunchKernel(static_cast<CudaStream&>(stream), "Range", Start::kInOrder, Elements<T>,
                      ElementGrid(out.size()), kElementThreads, 0, out.as<T>(), out.size(), args.attrs[0],
                      args.attrs[1]);
}

}  // namespace

Status Range(Stream& stream, const Args& args) {
  SPECATTN_RETURN_IF_ERROR(CheckRange(args));
  if (args.outputs[0].size() == 0) return Ok();
  if (args.outputs[0].dtype == DType::kFloat32) return Run<float>(stream, args);
  return Run<int32_t>(stream, args);
}

}  // namespace gpu
}  // namespace specattn

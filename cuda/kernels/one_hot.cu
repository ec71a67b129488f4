// OneHot on CUDA: one thread per element of the output.
#include "core/convert.h"
#include "gpu/primitives/elementwise.cuh"
#include "kernels/one_hot.h"

namespace specattn {
namespace gpu {
namespace {

template <class T>
__global__ void Elements(const int32_t* indices, T* out, int64_t n, int64_t depth, T on, T off) {
  const int64_t i = ElementIndex();
  if (i >= n) return;
  int64_t place;
  const int64_t row = Divide(i, depth, &place);
  out[i] = indices[row] == place ? on : off;
}

template <class T>
Status Run(Stream& stream, const Args& args) {
  const Tensor &indices = args.inputs[0], &out = args.outputs[0];
  T on, off;
  Convert(args.attrs[0], &on);
  Convert(args.attrs[1], &off);
  return LaunchKernel(static_cast<CudaStream&>(stream), "OneHot", Start::kInOrder, Elements<T>,
                      ElementGrid(out.size()), kElementThreads, 0, indices.as<int32_t>(), out.as<T>(),
                      out.size(), out.dims[out.rank - 1], on, off);
}

}  // namespace

Status OneHot(Stream& stream, const Args& args) {
  SPECATTN_RETURN_IF_ERROR(CheckOneHot(args));
  const Tensor& out = args.outputs[0];
  if (out.size() == 0) return Ok();
  if (out.dtype == DType::kFloat32) return Run<float>(stream, args);
  if (out.dtype == DType::kInt32) return Run<int32_t>(stream, args);
  return Run<uint8_t>(stream, args);
}

}  // namespace gpu
}  // namespace specattn

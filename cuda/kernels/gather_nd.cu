// GatherNd on CUDA: one thread per element of the output.
#include "gpu/primitives/elementwise.cuh"
#include "kernels/gather_nd.h"

namespace specattn {
namespace gpu {
namespace {

template <class T>
__global__ void Elements(const T* x, const int32_t* indices, T* y, int64_t n,
                         const __grid_constant__ NdIndex places) {
  const int64_t i = ElementIndex();
  if (i >= n) return;
  int64_t j;
  const int64_t place = Divide(i, places.inner, &j);
  const int64_t slice = places.SliceOf(indices + place * places.depth);
  y[i] = slice >= 0 ? x[slice * places.inner + j] : T{};
}

template <class T>
Status Run(Stream& stream, const Args& args, const NdIndex& places) {
  const Tensor& y = args.outputs[0];
  return LaunchKernel(static_cast<CudaStream&>(stream), "GatherNd", Start::kInOrder, Elements<T>,
                      ElementGrid(y.size()), kElementThreads, 0, args.inputs[0].as<T>(),
                      args.inputs[1].as<int32_t>(), y.as<T>(), y.size(), places);
}

}  // namespace

Status GatherNd(Stream& stream, const Args& args) {
  NdIndex places;
  SPECATTN_RETURN_IF_ERROR(CheckGatherNd(args, &places));
  if (args.outputs[0].size() == 0) return Ok();
  if (SizeOf(args.outputs[0].dtype) == 4) return Run<uint32_t>(stream, args, places);
  return Run<uint8_t>(stream, args, places);
}

}  // namespace gpu
}  // namespace specattn

// Gather on CUDA: one thread per element of the output.
#include "gpu/primitives/element.cuh"
#include "gpu/primitives/elementwise.cuh"
#include "kernels/gather.h"

namespace specattn {
namespace gpu {
namespace {

__device__ __forceinline__ int32_t Value(int32_t x) { return x; }
__device__ __forceinline__ uint8_t Value(uint8_t x) { return x; }
template <class T>
__device__ __forceinline__ float Value(T x) {
  return ToFloat(x);
}

template <class T, class U>
__global__ void Elements(const T* x, const int32_t* indices, U* y, int64_t n, const GatherSizes sizes) {
  WaitForPrevious();
  LetNextStart();
  const int64_t i = ElementIndex();
  if (i >= n) return;
  int64_t j, pick, rest;
  const int64_t row = Divide(i, sizes.inner, &j);  // a slice of [batch, outer, count]
  const int64_t block = Divide(row, sizes.count, &pick);
  const int64_t index = indices[Divide(block, sizes.outer, &rest) * sizes.count + pick];
  y[i] = index >= 0 && index < sizes.dim ? Value(x[(block * sizes.dim + index) * sizes.inner + j]) : U{};
}

template <class T, class U>
Status Run(Stream& stream, const Args& args, const GatherSizes& sizes) {
  const Tensor& y = args.outputs[0];
  return LaunchKernel(static_cast<CudaStream&>(stream), "Gather", Start::kEarly, Elements<T, U>,
                      ElementGrid(y.size()), kElementThreads, 0, args.inputs[0].as<T>(),
                      args.inputs[1].as<int32_t>(), y.as<U>(), y.size(), sizes);
}

}  // namespace

Status Gather(Stream& stream, const Args& args) {
  GatherSizes sizes;
  SPECATTN_RETURN_IF_ERROR(CheckGather(args, &sizes));
  if (args.outputs[0].size() == 0) return Ok();
  switch (args.inputs[0].dtype) {
    case DType::kFloat32:
      return Run<float, float>(stream, args, sizes);
    case DType::kBFloat16:
      return Run<BFloat16, float>(stream, args, sizes);
    case DType::kFloat16:
      return Run<Float16, float>(stream, args, sizes);
    case DType::kInt32:
      return Run<int32_t, int32_t>(stream, args, sizes);
    case DType::kBool:
      return Run<uint8_t, uint8_t>(stream, args, sizes);
  }
  return Ok();
}

}  // namespace gpu
}  // namespace specattn

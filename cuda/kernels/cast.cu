// Cast on CUDA: one thread per element.
#include "core/convert.h"
#include "gpu/primitives/element.cuh"
#include "gpu/primitives/elementwise.cuh"
#include "kernels/cast.h"

namespace specattn {
namespace gpu {
namespace {

// An element as float32 or int32.
__device__ __forceinline__ float Value(float x) { return x; }
__device__ __forceinline__ float Value(BFloat16 x) { return ToFloat(x); }
__device__ __forceinline__ float Value(Float16 x) { return ToFloat(x); }
__device__ __forceinline__ int32_t Value(int32_t x) { return x; }
__device__ __forceinline__ int32_t Value(uint8_t x) { return x; }

__device__ __forceinline__ int32_t WholeOf(int32_t x) { return x; }
// Only values outside int32's range need ToInt32, which computes in float64.
__device__ __forceinline__ int32_t WholeOf(float x) {
  return x > -2147483648.0f && x < 2147483648.0f ? static_cast<int32_t>(x) : ToInt32(static_cast<double>(x));
}

template <class In>
__global__ void Elements(const In* x, void* y, DType to, int64_t n) {
  const int64_t i = ElementIndex();
  if (i >= n) return;
  const auto value = Value(x[i]);
  if (to == DType::kFloat32) {
    static_cast<float*>(y)[i] = static_cast<float>(value);
  } else if (to == DType::kInt32) {
    static_cast<int32_t*>(y)[i] = WholeOf(value);
  } else {
    static_cast<uint8_t*>(y)[i] = value != 0;
  }
}

template <class In>
Status From(CudaStream& stream, const Tensor& x, const Tensor& y) {
  return LaunchKernel(stream, "Cast", Start::kInOrder, Elements<In>, ElementGrid(x.size()), kElementThreads,
                      0, x.as<In>(), y.data, y.dtype, x.size());
}

}  // namespace

Status Cast(Stream& stream, const Args& args) {
  SPECATTN_RETURN_IF_ERROR(CheckCast(args));
  const Tensor &x = args.inputs[0], &y = args.outputs[0];
  if (x.size() == 0) return Ok();
  auto& cuda = static_cast<CudaStream&>(stream);
  switch (x.dtype) {
    case DType::kFloat32:
      return From<float>(cuda, x, y);
    case DType::kBFloat16:
      return From<BFloat16>(cuda, x, y);
    case DType::kFloat16:
      return From<Float16>(cuda, x, y);
    case DType::kInt32:
      return From<int32_t>(cuda, x, y);
    case DType::kBool:
      return From<uint8_t>(cuda, x, y);
  }
  return Ok();
}

}  // namespace gpu
}  // namespace specattn

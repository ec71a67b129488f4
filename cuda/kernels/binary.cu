// Binary on CUDA. A thread computes one element of the output. One kernel holds all functions, behind a switch in which
// all threads take the same branch.
#include "gpu/primitives/elementwise.cuh"
#include "kernels/binary.h"

namespace specattn {
namespace gpu {
namespace {

template <class F, class T>
__device__ __forceinline__ void Apply(T x, T y, void* out, int64_t i) {
  if constexpr (F::kKind == binary::kCompare) {
    static_cast<uint8_t*>(out)[i] = F::template Of<T, uint8_t>(x, y);
  } else if constexpr (F::kKind == binary::kInteger) {
    static_cast<int32_t*>(out)[i] = F::template Of<T, int32_t>(x, y);
  } else {
    static_cast<T*>(out)[i] = F::template Of<T, T>(x, y);
  }
}

template <class T>
__global__ void Elements(const __grid_constant__ Loops<2> loops, int64_t n, int function, const T* a,
                         const T* b, void* out) {
  WaitForPrevious();
  LetNextStart();
  const int64_t i = ElementIndex();
  if (i >= n) return;
  int64_t at[2];
  Offsets(loops, i, at);
  const T x = a[at[0]], y = b[at[1]];
  switch (function) {
#define BINARY(Name)                      \
  case binary::k##Name:                   \
    Apply<binary::Name, T>(x, y, out, i); \
    break;
#include "core/elementwise.def"
  }
}

template <class T>
Status Run(CudaStream& stream, const Loops<2>& loops, int function, const Args& args) {
  const Tensor& out = args.outputs[0];
  const int64_t n = out.size();
  return LaunchKernel(stream, "Binary", Start::kEarly, Elements<T>, ElementGrid(n), kElementThreads, 0, loops,
                      n, function, args.inputs[0].as<T>(), args.inputs[1].as<T>(), out.data);
}

}  // namespace

Status Binary(Stream& stream, const Args& args) {
  int function = 0;
  Loops<2> loops;
  SPECATTN_RETURN_IF_ERROR(CheckBinary(args, &function, &loops));
  if (args.outputs[0].size() == 0) return Ok();
  auto& cuda = static_cast<CudaStream&>(stream);
  const DType dtype = args.inputs[0].dtype;
  if (dtype == DType::kFloat32) return Run<float>(cuda, loops, function, args);
  if (dtype == DType::kInt32) return Run<int32_t>(cuda, loops, function, args);
  return Run<uint8_t>(cuda, loops, function, args);
}

}  // namespace gpu
}  // namespace specattn

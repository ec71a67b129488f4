// Select on CUDA: one thread per element of the output.
#include "gpu/primitives/elementwise.cuh"
#include "kernels/select.h"

namespace specattn {
namespace gpu {
namespace {

template <class T>
__global__ void Elements(const __grid_constant__ Loops<3> loops, int64_t n, const uint8_t* condition,
                         const T* t, const T* e, T* out) {
  const int64_t i = ElementIndex();
  if (i >= n) return;
  int64_t at[3];
  Offsets(loops, i, at);
  const T x = t[at[1]], y = e[at[2]];
  out[i] = condition[at[0]] ? x : y;
}

template <class T>
Status Run(Stream& stream, const Loops<3>& loops, const Args& args) {
  const Tensor& out = args.outputs[0];
  return LaunchKernel(static_cast<CudaStream&>(stream), "Select", Start::kInOrder, Elements<T>,
                      ElementGrid(out.size()), kElementThreads, 0, loops, out.size(),
                      args.inputs[0].as<uint8_t>(), args.inputs[1].as<T>(), args.inputs[2].as<T>(),
                      out.as<T>());
}

}  // namespace

Status Select(Stream& stream, const Args& args) {
  Loops<3> loops;
  SPECATTN_RETURN_IF_ERROR(CheckSelect(args, &loops));
  if (args.outputs[0].size() == 0) return Ok();
  if (SizeOf(args.outputs[0].dtype) == 4) return Run<uint32_t>(stream, loops, args);
  return Run<uint8_t>(stream, loops, args);
}

}  // namespace gpu
}  // namespace specattn

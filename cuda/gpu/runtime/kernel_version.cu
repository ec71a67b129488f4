// KernelVersion: the architecture for which the kernels that run on this GPU were compiled. It can be older than the GPU:
// such kernels lack the instructions that an early start needs (launch.cuh).
#include "gpu/runtime/check_cuda.h"

namespace specattn {
namespace gpu {
namespace {

// The runtime tells a kernel's architecture; all kernels of the addon are compiled for the same ones.
__global__ void Nothing() {}

}  // namespace

Status KernelVersion(int* version) {
  cudaFuncAttributes attributes;
  SPECATTN_CUDA("look for machine code for this GPU", cudaFuncGetAttributes(&attributes, Nothing));
  *version = attributes.ptxVersion;
  return Ok();
}

}  // namespace gpu
}  // namespace specattn

// What this GPU's code was compiled from. Machine code of an older architecture, or compiled from its PTX by the driver,
// lacks the instructions that an early start needs (launch.cuh).
#include "gpu/runtime/check_cuda.h"

namespace specattn {
namespace gpu {
namespace {

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

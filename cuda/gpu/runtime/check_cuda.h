// SPECATTN_CUDA: turns the error of a CUDA runtime call into a Status.
#pragma once
#include <cuda_runtime_api.h>

#include "core/status.h"

namespace specattn {
namespace gpu {

inline Status CheckCuda(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return Ok();
  cudaGetLastError();  // clears the error, so that no later call reports it again
  return Error("[cuda] %s: %s (%s)", what, cudaGetErrorString(error), cudaGetErrorName(error));
}

}  // namespace gpu
}  // namespace specattn

// Returns from the calling function if `call` fails: SPECATTN_CUDA("read a tensor", cudaMemcpyAsync(...))
#define SPECATTN_CUDA(what, call) SPECATTN_RETURN_IF_ERROR(::specattn::gpu::CheckCuda(call, what))

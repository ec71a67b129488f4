// SPECATTN_CUDA: a CUDA call's error as a Status.
#pragma once
#include <cuda_runtime_api.h>

#include "core/status.h"

namespace specattn {
namespace gpu {

inline Status CheckCuda(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return Ok();
  cudaGetLastError();  // an error that can be survived must not show up at the next call
  return Error("[cuda] %s: %s (%s)", what, cudaGetErrorString(error), cudaGetErrorName(error));
}

}  // namespace gpu
}  // namespace specattn

// SPECATTN_CUDA("read a tensor", cudaMemcpyAsync(...))
#define SPECATTN_CUDA(what, call) SPECATTN_RETURN_IF_ERROR(::specattn::gpu::CheckCuda(call, what))

// LaunchKernel queues a kernel on the device's stream. It can let the kernel start before the previous kernel has ended.
//
// With Start::kEarly (programmatic dependent launch, compute capability 9.0 and later) blocks of a kernel become
// resident while the previous kernel still runs. Such a kernel must call WaitForPrevious() before it accesses global
// memory; it may only read earlier what CudaStream::Settled() or SettledBelow() declare complete. It may call
// LetNextStart() after WaitForPrevious(), never before: because every kernel keeps this order, all kernels before the
// previous one are complete when a kernel starts. Settled() relies on this.
#pragma once
#include <cuda_runtime.h>

#include "core/status.h"
#include "gpu/runtime/stream.h"

namespace specattn {
namespace gpu {

// kInOrder: the kernel starts when the previous one is complete. kEarly: it may start before.
enum class Start { kInOrder, kEarly };

// Returns when the previous kernel is complete and its writes are visible.
__device__ __forceinline__ void WaitForPrevious() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

// The next kernel may start once every block of this one has called this or exited.
__device__ __forceinline__ void LetNextStart() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

// Queues `kernel` with `shared_bytes` of dynamic shared memory a block; `values` are converted to the kernel's parameters.
// `op` begins the message of an error.
template <class... Params, class... Values>
Status LaunchKernel(CudaStream& stream, const char* op, Start start, void (*kernel)(Params...), dim3 grid,
                    dim3 block, size_t shared_bytes, const Values&... values) {
  // Blocks of up to 48 KB need no attribute. This leaves 32 KB of them for static shared memory.
  constexpr size_t kSharedWithoutOptIn = 16 << 10;
  if (shared_bytes > kSharedWithoutOptIn) {
    const cudaError_t error =
        cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                             cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared_bytes));
    SPECATTN_CHECK(error == cudaSuccess, "[%s] %zu bytes of shared memory a block: %s", op, shared_bytes,
                   cudaGetErrorString(error));
  }
  cudaLaunchAttribute attribute{};
  attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attribute.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = stream.stream();
  config.attrs = &attribute;
  config.numAttrs = start == Start::kEarly && stream.starts_early() ? 1 : 0;
  const cudaError_t error = cudaLaunchKernelEx(&config, kernel, static_cast<Params>(values)...);
  SPECATTN_CHECK(error == cudaSuccess, "[%s] could not be launched on %u x %u x %u blocks of %u threads: %s",
                 op, grid.x, grid.y, grid.z, block.x * block.y * block.z, cudaGetErrorString(error));
  stream.Launched();
  return Ok();
}

constexpr int kWarp = 32;
constexpr unsigned kAllLanes = 0xffffffffu;

template <class T>
__host__ __device__ constexpr T CeilDiv(T a, T b) {
  return (a + b - 1) / b;
}

}  // namespace gpu
}  // namespace specattn

// IsLastBlock: the last of a launch's blocks to finish does what needs all their results, so that no second launch has to.
#pragma once
#include "gpu/runtime/launch.cuh"

namespace specattn {
namespace gpu {

// Counts this block as done; true in all threads of the one that makes it `blocks`. *counter (CudaStream::Counters) is zero
// before the first, and that one leaves it zero for the next launch, which counts after this one is complete.
//
// All threads call; a barrier comes before where others than thread 0 wrote what is to be seen. Thread 0's fence before
// the count covers, by that barrier, all that the block wrote; its fence after the count and the barrier here make what the
// other blocks wrote seen by every thread of the last one.
__device__ __forceinline__ bool IsLastBlock(unsigned* counter, unsigned blocks) {
  bool last = false;
  if (threadIdx.x == 0) {
    __threadfence();
    last = atomicAdd(counter, 1u) + 1 == blocks;
    if (last) *counter = 0;
    __threadfence();
  }
  return __syncthreads_or(last) != 0;
}

}  // namespace gpu
}  // namespace specattn

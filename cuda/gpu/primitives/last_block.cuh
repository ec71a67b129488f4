// IsLastBlock: the block of a launch that finishes last can go on with the results of all blocks, which saves a second launch.
#pragma once
#include "gpu/runtime/launch.cuh"

namespace specattn {
namespace gpu {

// Counts the calling block as finished, and returns whether it is the last of `blocks` to do so. *counter
// (CudaStream::Counters) must be zero before the first block counts; the last block makes it zero again for the next launch,
// which must not count before this launch is complete.
//
// All threads call and get the same result. Where other threads than thread 0 wrote results, the caller needs a barrier before
// the call. With that barrier, thread 0's fence before the count publishes all results of the block; its fence after the count
// and the barrier in here make the results of the other blocks visible to every thread of the last block.
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

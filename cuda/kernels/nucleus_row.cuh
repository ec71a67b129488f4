// StartRow: how the kernels that search rows of any length for their nucleus begin (NucleusMask, SampleToken).
#pragma once
#include "gpu/nucleus/nucleus.cuh"

namespace specattn {
namespace gpu {

// Waits for the previous kernel and returns this block's memory for FindCut's candidates. All threads call.
//   shared   the launch's dynamic shared memory, which begins with NucleusShared
//   columns  scratch memory with `stride` words for each block; null if the words follow NucleusShared in shared memory
template <bool kCluster>
__device__ __forceinline__ uint32_t* StartRow(unsigned char* shared, uint32_t* columns, int64_t stride) {
  uint32_t* own =
      columns ? columns + blockIdx.x * stride : reinterpret_cast<uint32_t*>(shared + kNucleusShared);
  // A block may write to another one's shared memory only once that block is resident.
  if constexpr (kCluster) ClusterSync();
  WaitForPrevious();
  LetNextStart();
  return own;
}

}  // namespace gpu
}  // namespace specattn

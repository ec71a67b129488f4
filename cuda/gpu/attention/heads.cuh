// HeadsLaunch: the grid and block of an elementwise kernel over [rows, heads, items of a head].
//
// Rows lie along blockIdx.x, heads along blockIdx.y and threadIdx.y, items along threadIdx.x: a warp stays within one head
// and reads neighbouring items. The kernel strides by the grid in each dimension, so that any grid covers everything.
#pragma once
#include <algorithm>

#include "gpu/runtime/launch.cuh"

namespace specattn {
namespace gpu {

struct HeadsLaunch {
  dim3 grid, block;

  HeadsLaunch(const CudaStream& stream, int64_t rows, int64_t heads, int64_t items) {
    constexpr int64_t kThreads = 256, kMaxLanes = 128, kBlocksAProcessor = 8, kMaxX = 2147483647,
                      kMaxY = 65535;
    const int64_t lanes = std::min(kMaxLanes, CeilDiv<int64_t>(items, kWarp) * kWarp);
    const int64_t together = kThreads / lanes;
    // A thread takes one head where blocks are few; it takes several once the blocks fill all multiprocessors.
    const int64_t wanted = CeilDiv(kBlocksAProcessor * stream.processors(), rows);
    const int64_t across = std::min({CeilDiv(heads, together), wanted, kMaxY});
    grid = dim3(static_cast<unsigned>(std::min(rows, kMaxX)), static_cast<unsigned>(across));
    block = dim3(static_cast<unsigned>(lanes), static_cast<unsigned>(together));
  }
};

}  // namespace gpu
}  // namespace specattn

// The shape of a launch over [T, heads, items of a head]: one row (or more) a block of grid.x, heads along y, items along
// threadIdx.x, so that a warp stays in one head and reads neighbours.
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
    // A head a thread while that leaves processors idle, several otherwise.
    const int64_t wanted = CeilDiv(kBlocksAProcessor * stream.processors(), rows);
    const int64_t across = std::min({CeilDiv(heads, together), wanted, kMaxY});
    grid = dim3(static_cast<unsigned>(std::min(rows, kMaxX)), static_cast<unsigned>(across));
    block = dim3(static_cast<unsigned>(lanes), static_cast<unsigned>(together));
  }
};

}  // namespace gpu
}  // namespace specattn

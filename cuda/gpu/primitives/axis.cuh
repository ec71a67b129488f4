// ReduceAxis: reductions along an axis, with many outputs of n elements each.
//
// A block computes a tile of `columns` outputs with `lanes` threads each. The elements of an output are cut into chunks, whose
// size depends on n and the layout alone. Every chunk is reduced by itself, then the chunks' results are merged, so that an
// output's bits do not depend on the number of outputs. Where outputs are few, each chunk of a tile gets a block of its own,
// and the last of these blocks to finish merges the results.
#pragma once
#include <algorithm>

#include "gpu/primitives/last_block.cuh"
#include "gpu/runtime/launch.cuh"

namespace specattn {
namespace gpu {

constexpr int kAxisThreads = 256;

// How a launch divides a reduction. PlanAxis makes it.
struct AxisPlan {
  int64_t outputs = 0, n = 0;
  // Whether consecutive threads take consecutive outputs, rather than consecutive elements of one output.
  bool across = false;
  int lanes = 1, columns = 1;  // powers of two; lanes * columns = kAxisThreads
  // Elements of a chunk, chunks of an output, and blocks that share a tile.
  int64_t chunk = 0, chunks = 1, splits = 1;
  void* partial = nullptr;       // [tiles,chunks,columns] results of chunks, in scratch memory
  unsigned* counters = nullptr;  // [tiles], for IsLastBlock

  int64_t tiles() const { return CeilDiv<int64_t>(outputs, columns); }
  dim3 grid() const { return static_cast<unsigned>(tiles() * splits); }
};

// Fills *plan. across: elements of consecutive outputs are adjacent in memory, and elements of one output are not.
// result_bytes: size of ReduceAxis's Acc. Returns an error where there is no scratch memory.
inline Status PlanAxis(CudaStream& stream, const char* op, int64_t outputs, int64_t n, bool across,
                       size_t result_bytes, AxisPlan* plan) {
  constexpr int64_t kElementsPerThread = 64;  // in a chunk
  constexpr int64_t kManyTiles = 2048;        // more than run at once: sharing them gains nothing
  static_assert(kManyTiles <= kCounters, "");
  const int most = across ? 8 : kAxisThreads;
  plan->outputs = outputs;
  plan->n = n;
  plan->across = across;
  while (plan->lanes < most && plan->lanes * 4 < n) plan->lanes *= 2;
  plan->columns = kAxisThreads / plan->lanes;
  plan->chunk = kElementsPerThread * plan->lanes;
  plan->chunks = std::max<int64_t>(CeilDiv(n, plan->chunk), 1);
  if (plan->chunks == 1) return Ok();
  const int64_t results = plan->tiles() * plan->chunks * plan->columns;
  plan->partial = stream.Scratch(static_cast<size_t>(results) * result_bytes);
  SPECATTN_CHECK(plan->partial != nullptr, "[%s] no memory for %lld partial results", op,
                 static_cast<long long>(results));
  if (plan->tiles() > kManyTiles) return Ok();
  plan->splits = plan->chunks;
  plan->counters = stream.Counters(static_cast<int>(plan->tiles()));
  return Ok();
}

// Reduces all outputs; to be called by all threads of a kernel with the plan's grid and kAxisThreads threads.
//   reduce_lane(output, begin, end, step)  returns the result of the elements begin, begin + step, ... below end; begin < end
//   merge(a, b)                            returns the result of two results
//   store(output, result)                  is called once for each output; the result is Acc{} where n is 0
template <class Acc, class ReduceLane, class Merge, class Store>
__device__ __forceinline__ void ReduceAxis(const AxisPlan& plan, const ReduceLane& reduce_lane,
                                           const Merge& merge, const Store& store) {
  __shared__ Acc shared[kAxisThreads];
  const int t = threadIdx.x, lanes = plan.lanes, columns = plan.columns;
  const int column = plan.across ? t % columns : t / lanes, lane = plan.across ? t / columns : t % lanes;
  const int lane_stride = plan.across ? columns : 1;  // from a lane's thread to the next lane's
  const int64_t tile = blockIdx.x / plan.splits, split = blockIdx.x % plan.splits;
  const int64_t output = tile * columns + column;
  const bool is_output = output < plan.outputs;
  Acc* partial = static_cast<Acc*>(plan.partial) + tile * plan.chunks * columns + column;

  // Merges the results of an output's first `count` lanes, for its lane 0. All threads call.
  const auto fold = [&](Acc acc, int64_t count) {
    shared[t] = acc;
    __syncthreads();
    for (int step = lanes / 2; step > 0; step /= 2) {
      if (lane < step && lane + step < count) shared[t] = merge(shared[t], shared[t + step * lane_stride]);
      __syncthreads();
    }
    return shared[t];
  };

  for (int64_t chunk = split; chunk < plan.chunks; chunk += plan.splits) {
    const int64_t begin = chunk * plan.chunk, end = min(begin + plan.chunk, plan.n);
    Acc acc{};
    if (is_output && begin + lane < end)
      acc = reduce_lane(output, begin + lane, end, static_cast<int64_t>(lanes));
    acc = fold(acc, end - begin);
    if (plan.chunks == 1) {
      if (lane == 0 && is_output) store(output, acc);
      return;
    }
    if (lane == 0) partial[chunk * columns] = acc;
  }

  __syncthreads();
  if (plan.splits > 1 && !IsLastBlock(plan.counters + tile, static_cast<unsigned>(plan.splits))) return;
  Acc acc{};
  if (lane < plan.chunks) acc = partial[lane * columns];
  for (int64_t chunk = lane + lanes; chunk < plan.chunks; chunk += lanes)
    acc = merge(acc, partial[chunk * columns]);
  acc = fold(acc, plan.chunks);
  if (lane == 0 && is_output) store(output, acc);
}

}  // namespace gpu
}  // namespace specattn

// ReduceAxis: one result for each of many outputs, each from n elements: what reductions along an axis share.
//
// A block takes `columns` outputs with `lanes` threads each. The elements of an output come in chunks of a size that n
// decides: every chunk is folded by itself, then the chunks' results are, so that a result's bits depend on its
// elements and n alone. Where outputs are few their chunks go to as many blocks, and the last of these to be done
// folds the results.
#pragma once
#include <algorithm>

#include "gpu/primitives/last_block.cuh"
#include "gpu/runtime/launch.cuh"

namespace specattn {
namespace gpu {

constexpr int kAxisThreads = 256;

struct AxisPlan {
  int64_t outputs = 0, n = 0;
  bool across = false;         // neighbouring threads: neighbouring outputs, else neighbouring elements
  int lanes = 1, columns = 1;  // powers of two; a block's threads
  int64_t chunk = 0, chunks = 1, splits = 1;  // splits: blocks that share the chunks of their outputs
  void* partial = nullptr;                    // a result each for tiles * chunks * columns
  unsigned* counters = nullptr;

  int64_t tiles() const { return CeilDiv<int64_t>(outputs, columns); }
  dim3 grid() const { return static_cast<unsigned>(tiles() * splits); }
};

// `across`: neighbouring outputs' elements are neighbours in memory, and an output's are not.
inline Status PlanAxis(CudaStream& stream, const char* op, int64_t outputs, int64_t n, bool across,
                       size_t result_bytes, AxisPlan* plan) {
  constexpr int64_t kElementsPerThread = 64;  // elements of a chunk
  constexpr int64_t kManyTiles = 2048;        // more blocks than run at once
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

// of(output, begin, end, step): the result of elements begin, begin + step, ... below end, of which there is one.
// merge(a, b): of two results. store(output, result): called once an output; the result is Acc{} where n is 0.
template <class Acc, class ReduceLane, class Merge, class Store>
__device__ __forceinline__ void ReduceAxis(const AxisPlan& plan, const ReduceLane& reduce_lane,
                                           const Merge& merge, const Store& store) {
  __shared__ Acc shared[kAxisThreads];
  const int t = threadIdx.x, lanes = plan.lanes, columns = plan.columns;
  const int column = plan.across ? t % columns : t / lanes, lane = plan.across ? t / columns : t % lanes;
  const int lane_stride = plan.across ? columns : 1;  // from a lane to the lane_stride
  const int64_t tile = blockIdx.x / plan.splits, split = blockIdx.x % plan.splits;
  const int64_t output = tile * columns + column;
  const bool is_output = output < plan.outputs;
  Acc* partial = static_cast<Acc*>(plan.partial) + tile * plan.chunks * columns + column;

  // Lane 0 gets the result of the first `count` lanes; all threads call.
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

// The kernel of deferred_softmax.h: it turns the scores of several attention calls into weights.
//
// A thread computes the weight of one key in one row. All calls run side by side, and a thread loads the scores of up to
// eight heads at once, to hide the latency of memory.
#include "core/attention_shape.h"
#include "gpu/attention/decode_run.cuh"
#include "gpu/attention/deferred_softmax.h"

namespace specattn {
namespace gpu {
namespace {

constexpr int kThreads = 256;

struct DeferredSoftmaxBatch {
  DeferredSoftmax of[kMaxDeferred];
};
static_assert(sizeof(DeferredSoftmaxBatch) <= 4096, "a kernel's parameters");

// The place of `key` in the list of a KV head, found by binary search; -1 if the list lacks it or row t does not see it.
__device__ __forceinline__ int PlaceOf(const DeferredSoftmax& w, int kv_head, int key, int t) {
  const int list = w.set_per_kv_head ? kv_head : 0;
  const int64_t at = static_cast<int64_t>(list) * w.width;
  const int count = min(max(w.counts[list], 0), w.width);
  int begin = 0, end = count;  // the place of the first listed key >= `key` is in [begin, end]
  while (begin < end) {
    const int middle = (begin + end) / 2;
    if (w.keys[at + middle] < key)
      begin = middle + 1;
    else
      end = middle;
  }
  return begin < count && w.keys[at + begin] == key && (w.bits[at + begin] >> t & 1) ? begin : -1;
}

__global__ void __launch_bounds__(kThreads)
    RunDeferredSoftmax(const __grid_constant__ DeferredSoftmaxBatch all) {
  WaitForPrevious();
  LetNextStart();
  const DeferredSoftmax& w = all.of[blockIdx.y];
  const int slices = CeilDiv(w.capacity, kThreads), slice = static_cast<int>(blockIdx.x) % slices;
  const int row = static_cast<int>(blockIdx.x) / slices;
  if (row >= w.weight_rows * w.rows) return;
  const int key = slice * kThreads + static_cast<int>(threadIdx.x), t = row % w.rows;
  if (key >= w.capacity) return;
  const HeadRange of = HeadsOfRow(row / w.rows, w.weight_rows, w.weight_heads, w.heads);
  const int heads_per_kv_head = w.heads / w.kv_heads, heads = static_cast<int>(of.end - of.first);
  const int kv_head = static_cast<int>(of.first) / heads_per_kv_head;
  int head_of_kv_head = static_cast<int>(of.first) - kv_head * heads_per_kv_head;

  int place;  // index of the key's scores; -1 if the row does not see the key
  if (w.keys)
    place = PlaceOf(w, kv_head, key, t);
  else
    place = key <= static_cast<int64_t>(max(*w.position, 0)) + t ? key : -1;
  float weight = 0;
  if (place >= 0 && heads > 0) {
    int64_t query = (static_cast<int64_t>(kv_head) * w.rows + t) * heads_per_kv_head + head_of_kv_head;
    const int64_t to_next_kv_head = static_cast<int64_t>(w.rows - 1) * heads_per_kv_head;
#pragma unroll 8
    for (int h = 0; h < heads; ++h) {
      const float2 total = w.totals[query];
      weight += Relative(w.scores[query * w.score_stride + place], total.x) * total.y;
      const bool last = ++head_of_kv_head == heads_per_kv_head;
      query += last ? to_next_kv_head + 1 : 1;
      if (last) head_of_kv_head = 0;
    }
    weight *= 1.0f / static_cast<float>(heads);
  }
  w.weights[static_cast<int64_t>(row) * w.capacity + key] = weight;
}

}  // namespace

Status RunDeferredSoftmax(CudaStream& stream, const DeferredSoftmax* deferred, int count) {
  DeferredSoftmaxBatch all{};
  int64_t blocks = 0;
  for (int i = 0; i < count; ++i) {
    all.of[i] = deferred[i];
    const DeferredSoftmax& w = deferred[i];
    const int64_t own = int64_t{w.weight_rows} * w.rows * CeilDiv(w.capacity, kThreads);
    blocks = own > blocks ? own : blocks;
  }
  return LaunchKernel(stream, "weights", Start::kEarly, RunDeferredSoftmax,
                      dim3(static_cast<unsigned>(blocks), static_cast<unsigned>(count)), dim3(kThreads), 0,
                      all);
}

}  // namespace gpu
}  // namespace specattn

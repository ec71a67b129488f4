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
  DeferredSoftmax calls[kMaxDeferred];
};
static_assert(sizeof(DeferredSoftmaxBatch) <= 4096, "a kernel's parameters");

// The place of `key` in the list of a KV head, found by binary search; -1 if the list lacks it or row t does not see it.
__device__ __forceinline__ int PlaceOf(const DeferredSoftmax& call, int kv_head, int key, int t) {
  const int list = call.set_per_kv_head ? kv_head : 0;
  const int64_t at = static_cast<int64_t>(list) * call.width;
  const int count = min(max(call.counts[list], 0), call.width);
  int begin = 0, end = count;  // the place of the first listed key >= `key` is in [begin, end]
  while (begin < end) {
    const int middle = (begin + end) / 2;
    if (call.keys[at + middle] < key)
      begin = middle + 1;
    else
      end = middle;
  }
  return begin < count && call.keys[at + begin] == key && (call.bits[at + begin] >> t & 1) ? begin : -1;
}

__global__ void __launch_bounds__(kThreads)
    DeferredSoftmaxKernel(const __grid_constant__ DeferredSoftmaxBatch batch) {
  WaitForPrevious();
  LetNextStart();
  const DeferredSoftmax& call = batch.calls[blockIdx.y];
  const int slices = CeilDiv(call.capacity, kThreads), slice = static_cast<int>(blockIdx.x) % slices;
  const int row = static_cast<int>(blockIdx.x) / slices;
  if (row >= call.weight_rows * call.rows) return;
  const int key = slice * kThreads + static_cast<int>(threadIdx.x), t = row % call.rows;
  if (key >= call.capacity) return;
  const HeadRange range = HeadsOfRow(row / call.rows, call.weight_rows, call.weight_heads, call.heads);
  const int heads_per_kv_head = call.heads / call.kv_heads, heads = static_cast<int>(range.end - range.first);
  const int kv_head = static_cast<int>(range.first) / heads_per_kv_head;
  int head_of_kv_head = static_cast<int>(range.first) - kv_head * heads_per_kv_head;

  int place;           // index of the key's scores; -1 if the row does not see the key
  bool inside = true;  // whether the key is in the row's window, and not after the row
  if (call.position) {
    const int64_t last = static_cast<int64_t>(min(max(*call.position, 0), call.capacity)) + t;
    inside = key > last - call.window && (call.keys || key <= last);
  }
  place = inside ? call.keys ? PlaceOf(call, kv_head, key, t) : key : -1;
  float weight = 0;
  if (place >= 0 && heads > 0) {
    int64_t query = (static_cast<int64_t>(kv_head) * call.rows + t) * heads_per_kv_head + head_of_kv_head;
    const int64_t to_next_kv_head = static_cast<int64_t>(call.rows - 1) * heads_per_kv_head;
#pragma unroll 8
    for (int h = 0; h < heads; ++h) {
      const float2 total = call.totals[query];
      weight += Relative(call.scores[query * call.score_stride + place], total.x) * total.y;
      const bool last = ++head_of_kv_head == heads_per_kv_head;
      query += last ? to_next_kv_head + 1 : 1;
      if (last) head_of_kv_head = 0;
    }
    weight *= 1.0f / static_cast<float>(heads);
  }
  call.weights[static_cast<int64_t>(row) * call.capacity + key] = weight;
}

}  // namespace

Status RunDeferredSoftmax(CudaStream& stream, const DeferredSoftmax* deferred, int count) {
  DeferredSoftmaxBatch batch{};
  int64_t blocks = 0;
  for (int i = 0; i < count; ++i) {
    batch.calls[i] = deferred[i];
    const DeferredSoftmax& call = deferred[i];
    const int64_t call_blocks = int64_t{call.weight_rows} * call.rows * CeilDiv(call.capacity, kThreads);
    blocks = call_blocks > blocks ? call_blocks : blocks;
  }
  return LaunchKernel(stream, "weights", Start::kEarly, DeferredSoftmaxKernel,
                      dim3(static_cast<unsigned>(blocks), static_cast<unsigned>(count)), dim3(kThreads), 0,
                      batch);
}

}  // namespace gpu
}  // namespace specattn

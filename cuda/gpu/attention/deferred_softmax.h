// DeferredSoftmax: a call of attention whose scores have not been turned into attention weights yet. The next layer needs
// only the attention's output, so the call leaves its scores in memory, and one kernel later turns the scores of many
// calls into weights. CudaStream::DeferSoftmax says when.
#pragma once
#include <cuda_runtime_api.h>

#include "core/status.h"
#include "core/tensor.h"

namespace specattn {
namespace gpu {

class CudaStream;

// One call: weights[r,t,j] = mean over the heads h of weight row r of 2^(score[h,t,j] - reference[h,t]) / sum[h,t], and 0
// if row t does not see key j. HeadsOfRow (attention_shape.h) gives the heads of each weight row.
struct DeferredSoftmax {
  float* weights;  // [weight_rows,T,C]
  // [G,Q,score_stride], Q = T * H / G: base-2 logarithms, indexed by key, or by place in the list if sparse.
  const float* scores;
  const float2* totals;  // [G,Q]: reference, reciprocal of the sum
  // Row t sees the keys from *position + t - window + 1 to *position + t. Null in sparse attention without a window.
  const int32_t* position;
  // Sparse attention, else null: keys and bits [L,width], counts [L], L = lists(). The keys of a list ascend.
  const int32_t *keys, *bits, *counts;
  const int32_t* weight_heads;  // [weight_rows] or null, see HeadsOfRow
  int rows, heads, kv_heads, capacity, width, score_stride, weight_rows, window;
  bool set_per_kv_head;  // one list for each KV head, else one for all

  int64_t size() const { return int64_t{weight_rows} * rows * capacity; }
  int64_t lists() const { return set_per_kv_head ? kv_heads : 1; }
};

// The most calls of one launch: they are passed as kernel parameters, which are limited to 4 KB.
constexpr int kMaxDeferred = 32;

// Queues the kernel that writes the weights of `count` calls, 1 to kMaxDeferred.
Status RunDeferredSoftmax(CudaStream& stream, const DeferredSoftmax* deferred, int count);

}  // namespace gpu
}  // namespace specattn

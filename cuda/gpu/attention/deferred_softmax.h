// DeferredSoftmax: attention's scores on their way to become its weights. Nothing on the way to a token waits for weights, so
// attention only leaves its scores, and the stream turns those of many layers into weights by one kernel, when somebody
// is about to look (CudaStream::DeferSoftmax).
#pragma once
#include <cuda_runtime_api.h>

#include "core/status.h"
#include "core/tensor.h"

namespace specattn {
namespace gpu {

class CudaStream;

// Of one call: weights[r,t,j] = mean over r's heads h of 2^(score - reference) / sum, 0 where row t does not see key j.
// A call has `weight_rows` rows r, whose heads HeadsOfRow (attention_shape.h) tells.
struct DeferredSoftmax {
  float* weights;       // [weight_rows,T,C]
  const float* scores;  // [G,Q,score_stride] in powers of 2, a key or a place in the list each; Q = T * H / G
  const float2* totals;  // [G,Q]: reference, one over the sum
  // Causal: row t sees keys up to *position + t.
  const int32_t* position;
  // Sparse, where `keys` is not null: the lists [1 or G, width], [1 or G, width], [1 or G]; keys ascend.
  const int32_t *keys, *bits, *counts;
  const int32_t* weight_heads;  // [weight_rows], or null
  int rows, heads, groups, capacity, width, score_stride, weight_rows;
  bool set_a_group;

  int64_t size() const { return int64_t{weight_rows} * rows * capacity; }
  int64_t lists() const { return set_a_group ? groups : 1; }
};

// A launch takes so many: they are its parameters, of which there are 4 KB.
constexpr int kMaxDeferred = 32;

Status RunDeferredSoftmax(CudaStream& stream, const DeferredSoftmax* deferred,
                          int count);  // 1 to kMaxDeferred

}  // namespace gpu
}  // namespace specattn

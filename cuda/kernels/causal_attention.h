// CausalAttention: attention of T rows, at positions position ... position + T - 1, over the keys of a cache.
//
//   out[t,h] = sum_j softmax_j(scale * q[t,h] . k[g,j]) * v[g,j]   over the keys j that row t sees, with g = h / (H / G)
//
// Row t sees the keys j <= position + t. With a window it sees the last `window` of them: position + t - window < j.
//
// inputs   q [T,H,D] float32
//          k, v [G,C,D]: the caches, of one type: float32, bfloat16 or float16
//          position [1] int32; a negative one counts as 0, and one past C as C
//          heads [R] int32, R > 0: the heads whose weights are returned. Only for weights = 2, where it may be left out:
//          then R = H and all heads' weights are returned.
// attrs    scale
//          weights: 0 not returned, 1 their mean over the heads, 2 those of each head
//          window: the number of keys that a row sees at most; 0 for no limit
// outputs  out [T,H,D] float32; a row that sees no key gives zeros
//          weights, unless 0: [T,C] for the mean or [R,T,C] per head, float32: the softmax, and 0 for keys that a row
//          does not see. A head that does not exist has zeros.
#pragma once
#include "core/attention_shape.h"

namespace specattn {

// The values of the attribute `weights`.
enum AttentionWeights { kNoWeights = 0, kMeanWeights = 1, kHeadWeights = 2 };

// Outside the unnamed namespace: the CUDA device passes a call from one file to another.
struct CausalAttentionCall {
  const Tensor *q, *k, *v, *position, *out;
  const Tensor* weights;  // null: not asked for
  const int32_t* heads;   // on the device: heads whose weights are returned; null: all, or their mean
  AttentionShape shape;
  float scale;
  int64_t weight_rows;  // rows of weights for each row of q: 0, 1 for the mean, or one per head (HeadsOfRow)
  int64_t window;       // kNoWindow for no limit

  // Without queries or keys every output is zeros.
  bool empty() const { return shape.rows == 0 || shape.heads == 0 || shape.capacity == 0; }
};

namespace {

inline Status CheckCausalAttention(const Args& args, CausalAttentionCall* call) {
  SPECATTN_CHECK(
      (args.input_count == 4 || args.input_count == 5) && args.output_count >= 1 && args.attr_count == 3,
      "[CausalAttention] expected 4 or 5 inputs, 1 or 2 outputs and 3 attributes but got %d, %d and %d",
      args.input_count, args.output_count, args.attr_count);
  const Tensor &q = args.inputs[0], &k = args.inputs[1], &v = args.inputs[2], &position = args.inputs[3];
  const Tensor& out = args.outputs[0];
  AttentionShape s{};
  SPECATTN_RETURN_IF_ERROR(CheckAttention("CausalAttention", q, k, v, out, &s));
  SPECATTN_CHECK(position.dtype == DType::kInt32 && position.size() == 1,
                 "[CausalAttention] position must be int32 [1]");
  const int64_t mode = Whole(args.attrs[1]);
  SPECATTN_CHECK(mode >= kNoWeights && mode <= kHeadWeights && args.output_count == (mode ? 2 : 1),
                 "[CausalAttention] weights must be 0, 1 or 2, with an output of their own unless 0");
  int64_t window = 0;
  SPECATTN_RETURN_IF_ERROR(CheckWindow("CausalAttention", args.attrs[2], &window));
  const Tensor* heads = args.input_count == 5 ? args.inputs + 4 : nullptr;
  if (heads) {
    SPECATTN_RETURN_IF_ERROR(CheckTensor("CausalAttention", "heads", *heads, DType::kInt32, {kAnySize}));
    SPECATTN_CHECK(mode == kHeadWeights && heads->dims[0] > 0,
                   "[CausalAttention] heads must be one or more, of weights per head");
  }
  const int64_t weight_rows = mode == kNoWeights     ? 0
                              : mode == kMeanWeights ? 1
                              : heads                ? heads->dims[0]
                                                     : s.heads;
  if (mode == kMeanWeights)
    SPECATTN_RETURN_IF_ERROR(
        CheckTensor("CausalAttention", "weights", args.outputs[1], DType::kFloat32, {s.rows, s.capacity}));
  if (mode == kHeadWeights)
    SPECATTN_RETURN_IF_ERROR(CheckTensor("CausalAttention", "weights", args.outputs[1], DType::kFloat32,
                                         {weight_rows, s.rows, s.capacity}));
  *call = {&q,
           &k,
           &v,
           &position,
           &out,
           mode ? &args.outputs[1] : nullptr,
           heads ? heads->as<int32_t>() : nullptr,
           s,
           static_cast<float>(args.attrs[0]),
           weight_rows,
           window};
  return Ok();
}

}  // namespace
}  // namespace specattn

// CausalAttention: out[t,h] = softmax(scale * q[t,h] . k[g,j] over j <= position + t) . v[g]
// where g = h / (H / G).
//
// inputs   q [T,H,D] float32; k, v [G,C,D] float32, bfloat16 or float16, both alike; position int32 [1]; of weights per head
//          perhaps heads int32 [R], R > 0: whose weights are asked for, all of them without it
// attrs    scale, weights (0 none, 1 mean over heads, 2 per head)
// outputs  out [T,H,D] float32; where asked for, weights [T,C] or [R,T,C] float32, 0 past position + t; 0 of a head that
//          does not exist
#pragma once
#include "core/attention_shape.h"

namespace specattn {

// Which weights are returned: the values of the attribute.
enum AttentionWeights { kNoWeights = 0, kMeanWeights = 1, kHeadWeights = 2 };

// Known to two files of the CUDA device.
struct CausalAttentionCall {
  const Tensor *q, *k, *v, *position, *out;
  const Tensor* weights;  // null: not asked for
  const int32_t* heads;   // of weights; null: all of them, or their mean
  AttentionShape shape;
  float scale;
  int64_t weight_rows;  // of each row of q: none, one of all heads, or one a head (HeadsOfRow)

  // Nobody who looks, or nothing to see: every output is zeros.
  bool empty() const { return shape.rows == 0 || shape.heads == 0 || shape.capacity == 0; }
};

namespace {

inline Status CheckCausalAttention(const Args& args, CausalAttentionCall* call) {
  SPECATTN_CHECK(
      (args.input_count == 4 || args.input_count == 5) && args.output_count >= 1 && args.attr_count == 2,
      "[CausalAttention] expected 4 or 5 inputs, 1 or 2 outputs and 2 attributes but got %d, %d and %d",
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
           weight_rows};
  return Ok();
}

}  // namespace
}  // namespace specattn

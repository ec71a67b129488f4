// SparseAttention: attention of a block of rows over key sets, as NucleusSelect lists them.
//
//   out[t,h] = sum_j softmax_j(scale * q[t,h] . k[g,keys[s,j]]) * v[g,keys[s,j]]
//   over the entries j < counts[s] with bit t of bits[s,j], with g = h / (H / G) and s = set, or set + g if sets is G
//
// With a window row t sees a listed key only if it is after position + t - window.
//
// inputs   q [T,H,D] float32, T <= 31, D <= 256
//          k, v [G,C,D]: the caches, of one type: float32, bfloat16 or float16
//          keys [S,L] int32: the keys of each set; keys outside [0, C) are skipped
//          bits [S,L] int32: their row masks
//          counts [S] int32: how many of the L entries each set has
//          position [1] int32, only with a window: the position of row 0; a negative one counts as 0, one past C as C
// attrs    scale
//          set: the first of this layer's sets
//          sets: 1 if all KV heads share one set, G if each has its own
//          weights: 1 to return the weights, else 0; the keys of a set must then ascend
//          window: how many keys back a row sees, its own included; 0 for no limit
// outputs  out [T,H,D] float32; a row that sees no key gives zeros
//          weights [sets,T,C] float32, if asked for: for each set the mean of the softmax over the heads that read it, and
//          0 for keys that a row does not see
#pragma once
#include "core/attention_shape.h"

namespace specattn {
namespace {

constexpr int64_t kMaxSparseRows = 31;  // each row has a bit of an int32, whose sign bit is not used
constexpr int64_t kMaxSparseHeadSize = 256;

struct SparseAttentionCall {
  const Tensor *q, *k, *v, *keys, *bits, *counts, *out;
  const Tensor* weights;  // null: not asked for
  AttentionShape shape;
  float scale;
  int64_t first_set, sets;  // this layer's sets
  int64_t width;            // L: the length of a set's list
  int64_t window;           // kNoWindow for no limit
  const int32_t* position;  // on the device; null without a window
};

inline Status CheckSparseAttention(const Args& args, SparseAttentionCall* call) {
  SPECATTN_CHECK(
      (args.input_count == 6 || args.input_count == 7) && args.output_count >= 1 && args.attr_count == 5,
      "[SparseAttention] expected 6 or 7 inputs, 1 or 2 outputs and 5 attributes but got %d, %d and %d",
      args.input_count, args.output_count, args.attr_count);
  const Tensor &q = args.inputs[0], &k = args.inputs[1], &v = args.inputs[2];
  const Tensor &keys = args.inputs[3], &bits = args.inputs[4], &counts = args.inputs[5],
               &out = args.outputs[0];
  AttentionShape s{};
  SPECATTN_RETURN_IF_ERROR(CheckAttention("SparseAttention", q, k, v, out, &s));
  SPECATTN_CHECK(s.rows <= kMaxSparseRows, "[SparseAttention] a block has at most 31 rows but has %lld",
                 static_cast<long long>(s.rows));
  SPECATTN_CHECK(s.head_size <= kMaxSparseHeadSize,
                 "[SparseAttention] the head size must be at most %lld but is %lld",
                 static_cast<long long>(kMaxSparseHeadSize), static_cast<long long>(s.head_size));
  SPECATTN_CHECK(keys.dtype == DType::kInt32 && keys.rank == 2 && bits.dtype == DType::kInt32 &&
                     bits.rank == 2 && counts.dtype == DType::kInt32 && counts.rank == 1 &&
                     bits.dims[0] == keys.dims[0] && bits.dims[1] == keys.dims[1] &&
                     counts.dims[0] == keys.dims[0],
                 "[SparseAttention] keys and bits must be int32 [S,C] and counts int32 [S]");
  const int64_t first = Whole(args.attrs[1]), sets = Whole(args.attrs[2]);
  SPECATTN_CHECK((sets == 1 || sets == s.kv_heads) && first >= 0 && first + sets <= keys.dims[0],
                 "[SparseAttention] %g sets from %g on, of %lld, can't serve %lld key/value heads",
                 args.attrs[2], args.attrs[1], static_cast<long long>(keys.dims[0]),
                 static_cast<long long>(s.kv_heads));
  int64_t window = 0;
  SPECATTN_RETURN_IF_ERROR(CheckWindow("SparseAttention", args.attrs[4], &window));
  SPECATTN_CHECK((window != kNoWindow) == (args.input_count == 7),
                 "[SparseAttention] position must be given with a window, and only then");
  if (args.input_count == 7)
    SPECATTN_RETURN_IF_ERROR(CheckTensor("SparseAttention", "position", args.inputs[6], DType::kInt32, {1}));
  const bool weights = args.attrs[3] != 0;
  SPECATTN_CHECK(args.output_count == (weights ? 2 : 1),
                 "[SparseAttention] weights have an output of their own where they are asked for");
  if (weights)
    SPECATTN_RETURN_IF_ERROR(CheckTensor("SparseAttention", "weights", args.outputs[1], DType::kFloat32,
                                         {sets, s.rows, s.capacity}));
  *call = {&q,
           &k,
           &v,
           &keys,
           &bits,
           &counts,
           &out,
           weights ? &args.outputs[1] : nullptr,
           s,
           static_cast<float>(args.attrs[0]),
           first,
           sets,
           keys.dims[1],
           window,
           args.input_count == 7 ? args.inputs[6].as<int32_t>() : nullptr};
  return Ok();
}

}  // namespace
}  // namespace specattn

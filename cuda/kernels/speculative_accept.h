// SpeculativeAccept: decides how many drafted tokens are kept and draws the token after them. By this rule of speculative
// sampling (arXiv 2211.17192) the sequence has the verifier's distribution.
//
// The block [x, d_1 ... d_N] stands at positions position ... position + N. d_i was drawn from draft[i-1]; the verifier's
// distribution in its place is verifier[i-1].
//   1. d_1, d_2, ... are accepted as long as u * draft[i-1][d_i] < verifier[i-1][d_i],
//      with u = Uniform(seed, position + i, kAcceptStream).
//   2. The first rejected d_i is replaced by a draw from max(0, verifier[i-1] - draft[i-1]), scaled to sum to 1. If all N
//      are accepted, i is N + 1 and the token is drawn from verifier[N].
//      The draw uses Uniform(seed, position + i, kResampleStream).
// If rounding leaves no positive difference, both distributions are equal, and the draw is from verifier[i-1]. A d_i
// outside [0, V) is rejected.
//
// SampleToken makes rows of zeros from logits that are not finite. Such rows are told by kBroken: it takes the place of
// the drawn token where verifier[i-1] has no positive number, and that of the -1 after it where the rejected d_i is
// negative, since then draft[i-1] had nothing to draw.
//
// inputs   block [N+1] int32
//          draft [N,V] float32, verifier [N+1,V] float32: distributions
//          seed [2] int32
//          position [1] int32: the position of x
// attrs    none
// outputs  tokens [N+1] int32: the accepted tokens and the drawn one, then -1 (or kBroken)
//          last [2] int32: the last two tokens of the sequence
//          next position [1] int32: the position of last[1], position + 1 + the number of accepted tokens
#pragma once
#include "core/check.h"

namespace specattn {
namespace {

constexpr int32_t kBroken = -2;

struct SpeculativeAcceptCall {
  const Tensor *block, *draft, *verifier, *seed, *position;
  const Tensor *tokens, *last, *next;
  int64_t drafted, size;  // N, V
};

inline Status CheckSpeculativeAccept(const Args& args, SpeculativeAcceptCall* call) {
  SPECATTN_RETURN_IF_ERROR(CheckCounts("SpeculativeAccept", args, 5, 3, 0));
  const Tensor* in = args.inputs;
  const Tensor* out = args.outputs;
  SPECATTN_RETURN_IF_ERROR(
      CheckTensor("SpeculativeAccept", "draft", in[1], DType::kFloat32, {kAnySize, kAnySize}));
  const int64_t drafted = in[1].dims[0], size = in[1].dims[1];
  SPECATTN_CHECK(size > 0, "[SpeculativeAccept] draft must have at least one column but has none");
  SPECATTN_RETURN_IF_ERROR(CheckTensor("SpeculativeAccept", "block", in[0], DType::kInt32, {drafted + 1}));
  SPECATTN_RETURN_IF_ERROR(
      CheckTensor("SpeculativeAccept", "verifier", in[2], DType::kFloat32, {drafted + 1, size}));
  SPECATTN_RETURN_IF_ERROR(CheckTensor("SpeculativeAccept", "seed", in[3], DType::kInt32, {2}));
  SPECATTN_RETURN_IF_ERROR(CheckTensor("SpeculativeAccept", "position", in[4], DType::kInt32, {1}));
  SPECATTN_RETURN_IF_ERROR(CheckTensor("SpeculativeAccept", "tokens", out[0], DType::kInt32, {drafted + 1}));
  SPECATTN_RETURN_IF_ERROR(CheckTensor("SpeculativeAccept", "last", out[1], DType::kInt32, {2}));
  SPECATTN_RETURN_IF_ERROR(CheckTensor("SpeculativeAccept", "next position", out[2], DType::kInt32, {1}));
  *call = {in, in + 1, in + 2, in + 3, in + 4, out, out + 1, out + 2, drafted, size};
  return Ok();
}

}  // namespace
}  // namespace specattn

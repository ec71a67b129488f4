// SpeculativeAccept: speculative sampling's rule (arXiv 2211.17192), which leaves the verifier's distribution
// unchanged.
//
// block = [x, d_1 ... d_N] stands at positions position ... position + N; row i - 1 of `draft` and `verifier`
// is the distribution that d_i was drawn from and the one it should have been drawn from. d_i is accepted
// while
//   uniform(seed, position + i, 2) * draft[i-1][d_i] < verifier[i-1][d_i];
// the first rejected one is replaced by a draw from norm(max(0, verifier[i-1] - draft[i-1])); after N
// acceptances one more token is drawn from verifier[N]. The draw of the token for position + i uses
// uniform(seed, position + i, 3). Where rounding leaves nothing of the difference, the two are one distribution;
// a row of zeros or NaN gives token 0.
//
// inputs   block [N+1] int32, draft [N,V] float32, verifier [N+1,V] float32, seed [2] int32,
//          position [1] int32
// attrs    none
// outputs  tokens [N+1] int32: the accepted ones and the drawn one, then -1
//          last [2] int32: the two last tokens of the sequence
//          next position [1] int32: position + accepted + 1, that of last[1]
#pragma once
#include "core/check.h"

namespace specattn {
namespace {

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

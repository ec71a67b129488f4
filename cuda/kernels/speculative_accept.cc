// SpeculativeAccept: speculative sampling's rule (arXiv 2211.17192), which leaves the verifier's distribution
// unchanged.
//
// block = [x, d_1 ... d_N] stands at positions position ... position + N; row i - 1 of `draft` and `verifier`
// is the distribution that d_i was drawn from and the one it should have been drawn from. d_i is accepted
// while
//   uniform(seed, position + i, 2) * draft[i-1][d_i] < verifier[i-1][d_i];
// the first rejected one is replaced by a draw from norm(max(0, verifier[i-1] - draft[i-1])); after N
// acceptances one more token is drawn from verifier[N]. The draw of the token for position + i uses
// uniform(seed, position + i, 3).
//
// inputs   block [N+1] int32, draft [N,V] float32, verifier [N+1,V] float32, seed [2] int32,
//          position [1] int32
// attrs    none
// outputs  tokens [N+1] int32: the accepted ones and the drawn one, then -1
//          last [2] int32: the two last tokens of the sequence
//          next position [1] int32: position + accepted + 1, that of last[1]
#include "../check.h"
#include "../cpu/kernels.h"
#include "../cpu/random.h"

namespace specattn {
namespace {

// A draw from norm(max(0, verifier - draft)). Where rounding leaves nothing of the difference, the two are
// one distribution.
int64_t DrawRest(const float* verifier, const float* draft, int64_t n, double u) {
  const int64_t drawn = Draw(n, u, [&](int64_t j) {
    const float rest = verifier[j] - draft[j];
    return rest > 0 ? rest : 0.0f;
  });
  return drawn >= 0 ? drawn : Draw(n, u, [&](int64_t j) { return verifier[j]; });
}

}  // namespace

namespace SPECATTN_ISA {

Status SpeculativeAccept(Stream&, const Args& args) {
  SPECATTN_RETURN_IF_ERROR(CheckCounts("SpeculativeAccept", args, 5, 3, 0));
  const Tensor& draft = args.inputs[1];
  SPECATTN_RETURN_IF_ERROR(
      CheckTensor("SpeculativeAccept", "draft", draft, DType::kFloat32, {kAnySize, kAnySize}));
  const int64_t drafted = draft.dims[0], size = draft.dims[1];
  SPECATTN_CHECK(size > 0, "[SpeculativeAccept] draft must have at least one column but has none");
  SPECATTN_RETURN_IF_ERROR(
      CheckTensor("SpeculativeAccept", "block", args.inputs[0], DType::kInt32, {drafted + 1}));
  SPECATTN_RETURN_IF_ERROR(
      CheckTensor("SpeculativeAccept", "verifier", args.inputs[2], DType::kFloat32, {drafted + 1, size}));
  SPECATTN_RETURN_IF_ERROR(CheckTensor("SpeculativeAccept", "seed", args.inputs[3], DType::kInt32, {2}));
  SPECATTN_RETURN_IF_ERROR(CheckTensor("SpeculativeAccept", "position", args.inputs[4], DType::kInt32, {1}));
  SPECATTN_RETURN_IF_ERROR(
      CheckTensor("SpeculativeAccept", "tokens", args.outputs[0], DType::kInt32, {drafted + 1}));
  SPECATTN_RETURN_IF_ERROR(CheckTensor("SpeculativeAccept", "last", args.outputs[1], DType::kInt32, {2}));
  SPECATTN_RETURN_IF_ERROR(
      CheckTensor("SpeculativeAccept", "next position", args.outputs[2], DType::kInt32, {1}));

  const int32_t* block = args.inputs[0].as<int32_t>();
  const float* q = draft.as<float>();
  const float* p = args.inputs[2].as<float>();
  const int32_t* seed = args.inputs[3].as<int32_t>();
  const int64_t position = args.inputs[4].as<int32_t>()[0];
  int32_t* tokens = args.outputs[0].as<int32_t>();
  int32_t* last = args.outputs[1].as<int32_t>();

  int64_t i = 1;  // of d_i
  for (; i <= drafted; ++i) {
    const int32_t d = block[i];
    if (d < 0 || d >= size) break;  // no such token: nothing to accept
    const double u = Uniform(seed, position + i, kAcceptStream);
    if (!(u * static_cast<double>(q[(i - 1) * size + d]) < static_cast<double>(p[(i - 1) * size + d]))) break;
    tokens[i - 1] = d;
  }
  const double u = Uniform(seed, position + i, kResampleStream);
  const float* row = p + (i - 1) * size;
  const int64_t drawn = i <= drafted ? DrawRest(row, q + (i - 1) * size, size, u)
                                     : Draw(size, u, [&](int64_t j) { return row[j]; });

  tokens[i - 1] =
      drawn < 0 ? 0 : static_cast<int32_t>(drawn);  // only a row of zeros or NaN has nothing to draw
  last[0] = block[i - 1];
  last[1] = tokens[i - 1];
  for (int64_t j = i; j <= drafted; ++j) tokens[j] = -1;
  args.outputs[2].as<int32_t>()[0] = static_cast<int32_t>(position + i);
  return Ok();
}

}  // namespace SPECATTN_ISA
}  // namespace specattn

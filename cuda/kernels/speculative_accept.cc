// SpeculativeAccept on the CPU, in one thread.
#include "kernels/speculative_accept.h"

#include "cpu/kernels.h"
#include "cpu/random.h"

namespace specattn {
namespace {

// Draws from max(0, verifier - draft), or from verifier if no difference is positive. -1 if there is nothing to draw.
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
  SpeculativeAcceptCall call = {};
  SPECATTN_RETURN_IF_ERROR(CheckSpeculativeAccept(args, &call));
  const int64_t drafted = call.drafted, size = call.size;
  const int32_t* block = call.block->as<int32_t>();
  const float* q = call.draft->as<float>();
  const float* p = call.verifier->as<float>();
  const int32_t* seed = call.seed->as<int32_t>();
  const int64_t position = call.position->as<int32_t>()[0];
  int32_t* tokens = call.tokens->as<int32_t>();
  int32_t* last = call.last->as<int32_t>();

  int64_t i = 1;  // the i of d_i
  for (; i <= drafted; ++i) {
    const int32_t d = block[i];
    if (d < 0 || d >= size) break;  // there is no such token to accept
    const double u = Uniform(seed, position + i, kAcceptStream);
    if (!(u * static_cast<double>(q[(i - 1) * size + d]) < static_cast<double>(p[(i - 1) * size + d]))) break;
    tokens[i - 1] = d;
  }
  const double u = Uniform(seed, position + i, kResampleStream);
  const float* row = p + (i - 1) * size;
  const int64_t drawn = i <= drafted ? DrawRest(row, q + (i - 1) * size, size, u)
                                     : Draw(size, u, [&](int64_t j) { return row[j]; });

  tokens[i - 1] = drawn < 0 ? kBroken : static_cast<int32_t>(drawn);
  last[0] = block[i - 1];
  last[1] = tokens[i - 1];
  const int32_t filler = i <= drafted && block[i] < 0 ? kBroken : -1;
  for (int64_t j = i; j <= drafted; ++j) tokens[j] = filler;
  call.next->as<int32_t>()[0] = static_cast<int32_t>(position + i);
  return Ok();
}

}  // namespace SPECATTN_ISA
}  // namespace specattn

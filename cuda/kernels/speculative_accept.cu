// SpeculativeAccept on CUDA. Every warp makes all acceptance tests, a token in each lane, and so knows the row to draw from.
// It then adds up one chunk of that row. The last block to finish draws (gpu/primitives/random.cuh).
#include "gpu/primitives/last_block.cuh"
#include "gpu/primitives/random.cuh"
#include "gpu/runtime/kernels.h"
#include "kernels/speculative_accept.h"

namespace specattn {
namespace gpu {
namespace {

constexpr int kThreads = 256;

struct AcceptArgs {
  const int32_t* block;
  const float *draft, *verifier;
  const int32_t *seed, *position;
  int32_t *tokens, *last, *next;
  int drafted, size;
  double *rest, *plain;  // [chunks]: sums of max(0, verifier - draft) and of verifier
  unsigned* finished;    // how many blocks have finished
};

// The i of the first d_i that is not accepted; N + 1 if all are accepted. All lanes of a warp call.
__device__ __forceinline__ int FirstRejected(const AcceptArgs& args, int64_t position) {
  for (int first = 1;; first += kWarp) {
    const int i = first + static_cast<int>(threadIdx.x % kWarp);
    bool accepted = false;
    if (i <= args.drafted) {
      const int32_t d = args.block[i];
      if (d >= 0 && d < args.size) {  // otherwise there is no such token to accept
        const int64_t at = int64_t{i - 1} * args.size + d;
        const double u = Uniform(args.seed, position + i, kAcceptStream);
        accepted = u * static_cast<double>(args.draft[at]) < static_cast<double>(args.verifier[at]);
      }
    }
    const unsigned rejected = __ballot_sync(kAllLanes, !accepted);
    if (rejected != 0) return first + __ffs(rejected) - 1;
  }
}

__global__ void __launch_bounds__(kThreads) AcceptAndDraw(AcceptArgs args) {
  WaitForPrevious();
  LetNextStart();
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp, n = args.size;
  const int chunk = blockIdx.x * (kThreads / kWarp) + warp, chunks = CeilDiv(n, kChunk);
  const int64_t position = args.position[0];
  const int i = FirstRejected(args, position);
  const bool replaced = i <= args.drafted;
  const float* verifier = args.verifier + int64_t{i - 1} * n;
  const float* draft = args.draft + int64_t{i - 1} * n;
  const auto rest_of = [](float p, float q) {
    const float rest = p - q;
    return rest > 0 ? rest : 0.0f;
  };

  if (chunk < chunks) {
    double rest = 0, plain = 0;
    ForChunk(chunk, n, [&](int j) {
      const float p = verifier[j];
      plain += static_cast<double>(p);
      if (replaced) rest += static_cast<double>(rest_of(p, draft[j]));
    });
    rest = WarpReduce(rest, Plus());
    plain = WarpReduce(plain, Plus());
    if (lane == 0) args.rest[chunk] = rest, args.plain[chunk] = plain;
  }
  __syncthreads();
  if (!IsLastBlock(args.finished, gridDim.x) || warp != 0) return;

  const double u = Uniform(args.seed, position + i, kResampleStream);
  int drawn = -1;
  if (replaced) drawn = Draw(n, u, args.rest, [&](int j) { return rest_of(verifier[j], draft[j]); });
  if (drawn < 0) drawn = Draw(n, u, args.plain, [&](int j) { return verifier[j]; });
  if (drawn < 0) drawn = kBroken;
  const int filler = replaced && args.block[i] < 0 ? kBroken : -1;
  for (int k = lane; k <= args.drafted; k += kWarp)
    args.tokens[k] = k < i - 1 ? args.block[k + 1] : k == i - 1 ? drawn : filler;
  if (lane == 0) {
    args.last[0] = args.block[i - 1];
    args.last[1] = drawn;
    args.next[0] = static_cast<int32_t>(position + i);
  }
}

}  // namespace

Status SpeculativeAccept(Stream& stream, const Args& args) {
  SpeculativeAcceptCall call = {};
  SPECATTN_RETURN_IF_ERROR(CheckSpeculativeAccept(args, &call));
  SPECATTN_CHECK(call.size <= INT32_MAX - kChunk && call.drafted < INT32_MAX - kWarp,
                 "[SpeculativeAccept] draft [%lld,%lld] is too large", static_cast<long long>(call.drafted),
                 static_cast<long long>(call.size));
  auto& cuda = static_cast<CudaStream&>(stream);
  const int64_t chunks = CeilDiv<int64_t>(call.size, kChunk);
  auto* sums = static_cast<double*>(stream.Scratch(static_cast<size_t>(2 * chunks) * sizeof(double)));
  unsigned* finished = cuda.Counters(1);
  SPECATTN_CHECK(sums && finished, "[SpeculativeAccept] no memory for %lld sums",
                 static_cast<long long>(2 * chunks));
  const AcceptArgs accept = {call.block->as<int32_t>(),
                             call.draft->as<float>(),
                             call.verifier->as<float>(),
                             call.seed->as<int32_t>(),
                             call.position->as<int32_t>(),
                             call.tokens->as<int32_t>(),
                             call.last->as<int32_t>(),
                             call.next->as<int32_t>(),
                             static_cast<int>(call.drafted),
                             static_cast<int>(call.size),
                             sums,
                             sums + chunks,
                             finished};
  return LaunchKernel(cuda, "SpeculativeAccept", Start::kEarly, AcceptAndDraw,
                      dim3(static_cast<unsigned>(CeilDiv<int64_t>(chunks, kThreads / kWarp))), dim3(kThreads),
                      0, accept);
}

}  // namespace gpu
}  // namespace specattn

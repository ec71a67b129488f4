// Random on the CPU.
#include "kernels/random.h"

#include "cpu/parallel.h"
#include "cpu/simd.h"

namespace specattn {
namespace SPECATTN_ISA {
namespace {

constexpr int64_t kGrain = 32768;

template <class T>
void Run(Stream& stream, const RandomCall& call) {
  T* out = call.out.as<T>();
  ParallelFor(stream, call.out.size(), kGrain, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) FromFloat(RandomElement(call.seed, call.scale, i), out + i);
  });
}

}  // namespace

Status Random(Stream& stream, const Args& args) {
  SPECATTN_RETURN_IF_ERROR(CheckRandom(args));
  const RandomCall call = RandomOf(args);
  if (call.out.dtype == DType::kFloat32)
    Run<float>(stream, call);
  else if (call.out.dtype == DType::kBFloat16)
    Run<BFloat16>(stream, call);
  else
    Run<Float16>(stream, call);
  return Ok();
}

}  // namespace SPECATTN_ISA
}  // namespace specattn

// Copy on the CPU.
#include "kernels/copy.h"

#include "cpu/parallel.h"
#include "cpu/simd.h"

namespace specattn {
namespace SPECATTN_ISA {
namespace {

constexpr int64_t kGrain = 32768;

template <class In, class Out>
void Floats(Stream& stream, const Tensor& x, const Tensor& y) {
  const In* __restrict in = x.as<In>();
  Out* __restrict out = y.as<Out>();
  ParallelFor(stream, x.size(), kGrain, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) FromFloat(ToFloat(in[i]), out + i);
  });
}

template <class In>
void From(Stream& stream, const Tensor& x, const Tensor& y) {
  if (y.dtype == DType::kFloat32) return Floats<In, float>(stream, x, y);
  if (y.dtype == DType::kBFloat16) return Floats<In, BFloat16>(stream, x, y);
  return Floats<In, Float16>(stream, x, y);
}

}  // namespace

Status Copy(Stream& stream, const Args& args) {
  SPECATTN_RETURN_IF_ERROR(CheckCopy(args));
  const Tensor &x = args.inputs[0], &y = args.outputs[0];
  if (x.dtype == y.dtype) {
    const char* in = x.as<char>();
    char* out = y.as<char>();
    ParallelFor(stream, static_cast<int64_t>(x.bytes()), 4 * kGrain, [=](int64_t begin, int64_t end) {
      std::memcpy(out + begin, in + begin, static_cast<size_t>(end - begin));
    });
  } else if (x.dtype == DType::kFloat32) {
    From<float>(stream, x, y);
  } else if (x.dtype == DType::kBFloat16) {
    From<BFloat16>(stream, x, y);
  } else {
    From<Float16>(stream, x, y);
  }
  return Ok();
}

}  // namespace SPECATTN_ISA
}  // namespace specattn

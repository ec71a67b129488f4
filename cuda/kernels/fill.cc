// Fill on the CPU.
#include "kernels/fill.h"

#include "core/convert.h"
#include "cpu/parallel.h"
#include "cpu/simd.h"

namespace specattn {
namespace SPECATTN_ISA {
namespace {

constexpr int64_t kGrain = 65536;

using specattn::Convert;
inline void Convert(double x, BFloat16* out) { FromFloat(static_cast<float>(x), out); }
inline void Convert(double x, Float16* out) { FromFloat(static_cast<float>(x), out); }

template <class T>
void Run(Stream& stream, const Tensor& out, double value) {
  T* data = out.as<T>();
  T element;
  Convert(value, &element);
  ParallelFor(stream, out.size(), kGrain, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) data[i] = element;
  });
}

}  // namespace

Status Fill(Stream& stream, const Args& args) {
  SPECATTN_RETURN_IF_ERROR(CheckFill(args));
  const Tensor& out = args.outputs[0];
  switch (out.dtype) {
    case DType::kFloat32:
      Run<float>(stream, out, args.attrs[0]);
      break;
    case DType::kBFloat16:
      Run<BFloat16>(stream, out, args.attrs[0]);
      break;
    case DType::kFloat16:
      Run<Float16>(stream, out, args.attrs[0]);
      break;
    case DType::kInt32:
      Run<int32_t>(stream, out, args.attrs[0]);
      break;
    case DType::kBool:
      Run<uint8_t>(stream, out, args.attrs[0]);
      break;
  }
  return Ok();
}

}  // namespace SPECATTN_ISA
}  // namespace specattn

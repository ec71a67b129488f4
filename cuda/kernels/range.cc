// Range on the CPU.
#include "kernels/range.h"

#include "core/convert.h"
#include "cpu/parallel.h"

namespace specattn {
namespace SPECATTN_ISA {
namespace {

template <class T>
void Run(Stream& stream, const Tensor& out, double start, double step) {
  T* data = out.as<T>();
  ParallelFor(stream, out.size(), 16384, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) Convert(start + static_cast<double>(i) * step, data + i);
  });
}

}  // namespace

Status Range(Stream& stream, const Args& args) {
  SPECATTN_RETURN_IF_ERROR(CheckRange(args));
  const Tensor& out = args.outputs[0];
  if (out.dtype == DType::kFloat32) {
    Run<float>(stream, out, args.attrs[0], args.attrs[1]);
  } else {
    Run<int32_t>(stream, out, args.attrs[0], args.attrs[1]);
  }
  return Ok();
}

}  // namespace SPECATTN_ISA
}  // namespace specattn

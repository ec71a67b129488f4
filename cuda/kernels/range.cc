// start, start + step, start + 2 step, …
//   attrs   start, step
//   output  [N], float32 | int32; computed in float64, so that the error of a step is not summed
#include "../cpu/convert.h"
#include "../cpu/parallel.h"

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
  SPECATTN_CHECK(args.input_count == 0 && args.output_count == 1 && args.attr_count == 2,
                 "[Range] expected 1 output, start and step but has %d inputs, %d outputs, %d attributes",
                 args.input_count, args.output_count, args.attr_count);
  const Tensor& out = args.outputs[0];
  SPECATTN_CHECK(out.dtype == DType::kFloat32 || out.dtype == DType::kInt32,
                 "[Range] the output must be float32 or int32");
  if (out.dtype == DType::kFloat32) {
    Run<float>(stream, out, args.attrs[0], args.attrs[1]);
  } else {
    Run<int32_t>(stream, out, args.attrs[0], args.attrs[1]);
  }
  return Ok();
}

}  // namespace SPECATTN_ISA
}  // namespace specattn

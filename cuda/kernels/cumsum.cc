// Running sums or products along an axis: Cumsum and Cumprod.
//   input   x: float32 | int32 | bool
//   attrs   axis, exclusive, reverse, product
//   output  x's shape; x's dtype, int32 for bool
// Accumulates in float64 (integers too: exact below 2^53; wrapped when stored).
#include "../cpu/convert.h"
#include "../cpu/parallel.h"

namespace specattn {
namespace SPECATTN_ISA {
namespace {

template <class In, class Out>
void Run(Stream& stream, const Tensor& x, const Tensor& y, int64_t n, int64_t inner, bool exclusive,
         bool reverse, bool product) {
  const In* in = x.as<In>();
  Out* out = y.as<Out>();
  ParallelFor(stream, x.size() / n, 8192 / n + 1, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      int64_t at = i / inner * n * inner + i % inner + (reverse ? (n - 1) * inner : 0);
      const int64_t step = reverse ? -inner : inner;
      double acc = product ? 1 : 0;
      for (int64_t j = 0; j < n; ++j, at += step) {
        const double value = static_cast<double>(in[at]);
        const double next = product ? acc * value : acc + value;
        Convert(exclusive ? acc : next, out + at);
        acc = next;
      }
    }
  });
}

}  // namespace

Status Cumsum(Stream& stream, const Args& args) {
  SPECATTN_CHECK(args.input_count == 1 && args.output_count == 1 && args.attr_count == 4,
                 "[Cumsum] expected 1 input, 1 output and 4 attributes but has %d, %d and %d",
                 args.input_count, args.output_count, args.attr_count);
  const Tensor &x = args.inputs[0], &y = args.outputs[0];
  const int axis = static_cast<int>(args.attrs[0]);
  const bool exclusive = args.attrs[1] != 0, reverse = args.attrs[2] != 0, product = args.attrs[3] != 0;
  SPECATTN_CHECK(x.rank == 0 ? axis == 0 : axis >= 0 && axis < x.rank,
                 "[Cumsum] axis %d of a tensor of rank %d", axis, x.rank);
  SPECATTN_CHECK(x.size() == y.size(), "[Cumsum] the output must have %lld elements but has %lld",
                 static_cast<long long>(x.size()), static_cast<long long>(y.size()));
  const DType expected = x.dtype == DType::kBool ? DType::kInt32 : x.dtype;
  SPECATTN_CHECK(y.dtype == expected, "[Cumsum] the output must be of dtype %d but is of %d",
                 static_cast<int>(expected), static_cast<int>(y.dtype));
  if (x.size() == 0) return Ok();
  int64_t inner = 1;
  for (int i = axis + 1; i < x.rank; ++i) inner *= x.dims[i];
  const int64_t n = x.rank > 0 ? x.dims[axis] : 1;
  if (x.dtype == DType::kFloat32) {
    Run<float, float>(stream, x, y, n, inner, exclusive, reverse, product);
  } else if (x.dtype == DType::kInt32) {
    Run<int32_t, int32_t>(stream, x, y, n, inner, exclusive, reverse, product);
  } else {
    Run<uint8_t, int32_t>(stream, x, y, n, inner, exclusive, reverse, product);
  }
  return Ok();
}

}  // namespace SPECATTN_ISA
}  // namespace specattn

// OneHot on the CPU. Threads share the rows.
#include "kernels/one_hot.h"

#include "core/convert.h"
#include "cpu/parallel.h"

namespace specattn {
namespace SPECATTN_ISA {
namespace {

template <class T>
void Run(Stream& stream, const Tensor& indices, const Tensor& out, double on_value, double off_value) {
  T on, off;
  Convert(on_value, &on);
  Convert(off_value, &off);
  const int64_t depth = out.dims[out.rank - 1];
  const int32_t* index = indices.as<int32_t>();
  T* y = out.as<T>();
  ParallelFor(stream, indices.size(), 32768 / (depth + 1) + 1, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      T* row = y + i * depth;
      for (int64_t j = 0; j < depth; ++j) row[j] = off;
      if (index[i] >= 0 && index[i] < depth) row[index[i]] = on;
    }
  });
}

}  // namespace

Status OneHot(Stream& stream, const Args& args) {
  SPECATTN_RETURN_IF_ERROR(CheckOneHot(args));
  const Tensor &indices = args.inputs[0], &out = args.outputs[0];
  if (out.size() == 0) return Ok();
  if (out.dtype == DType::kFloat32) {
    Run<float>(stream, indices, out, args.attrs[0], args.attrs[1]);
  } else if (out.dtype == DType::kInt32) {
    Run<int32_t>(stream, indices, out, args.attrs[0], args.attrs[1]);
  } else {
    Run<uint8_t>(stream, indices, out, args.attrs[0], args.attrs[1]);
  }
  return Ok();
}

}  // namespace SPECATTN_ISA
}  // namespace specattn

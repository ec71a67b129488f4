// Gather on the CPU. Threads share the picked slices.
#include "kernels/gather.h"

#include "cpu/parallel.h"
#include "cpu/simd.h"

namespace specattn {
namespace SPECATTN_ISA {
namespace {

template <class T, class U>
inline void CopyRow(const T* __restrict from, U* __restrict to, int64_t n) {
  for (int64_t i = 0; i < n; ++i) to[i] = from[i];
}
template <class T>
inline void CopyRow(const T* __restrict from, float* __restrict to, int64_t n) {
  for (int64_t i = 0; i < n; ++i) to[i] = ToFloat(from[i]);
}

template <class T, class U>
void Run(Stream& stream, const Args& args, const GatherSizes& sizes) {
  const int64_t outer = sizes.outer, dim = sizes.dim, inner = sizes.inner, count = sizes.count;
  const T* x = args.inputs[0].as<T>();
  const int32_t* indices = args.inputs[1].as<int32_t>();
  U* y = args.outputs[0].as<U>();
  const int64_t grain = 16384 / (inner + 4) + 1;
  ParallelFor(stream, sizes.batch * outer * count, grain, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {  // a slice of [batch, outer, count]
      const int64_t block = i / count;
      const int64_t index = indices[block / outer * count + i % count];
      U* to = y + i * inner;
      if (index >= 0 && index < dim) {
        CopyRow(x + (block * dim + index) * inner, to, inner);
      } else {
        std::memset(static_cast<void*>(to), 0, static_cast<size_t>(inner) * sizeof(U));
      }
    }
  });
}

}  // namespace

Status Gather(Stream& stream, const Args& args) {
  GatherSizes sizes;
  SPECATTN_RETURN_IF_ERROR(CheckGather(args, &sizes));
  if (args.outputs[0].size() == 0) return Ok();
  switch (args.inputs[0].dtype) {
    case DType::kFloat32:
      Run<float, float>(stream, args, sizes);
      break;
    case DType::kBFloat16:
      Run<BFloat16, float>(stream, args, sizes);
      break;
    case DType::kFloat16:
      Run<Float16, float>(stream, args, sizes);
      break;
    case DType::kInt32:
      Run<int32_t, int32_t>(stream, args, sizes);
      break;
    case DType::kBool:
      Run<uint8_t, uint8_t>(stream, args, sizes);
      break;
  }
  return Ok();
}

}  // namespace SPECATTN_ISA
}  // namespace specattn

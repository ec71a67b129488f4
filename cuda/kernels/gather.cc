// Slices of x along an axis, picked by indices: embedding rows.
//   inputs  x: any storage; indices: int32. The first batchDims dimensions of both are the same
//   attrs   axis, batchDims (0 <= batchDims <= axis)
//   output  x.shape[:axis] + indices.shape[batchDims:] + x.shape[axis + 1:]; float32 where x is stored as a
//   float, else x's dtype
// An index out of range gives zeros: a queued kernel cannot fail.
#include "../cpu/parallel.h"
#include "../cpu/simd.h"

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
void Run(Stream& stream, const Args& args, int64_t batch, int64_t outer, int64_t dim, int64_t inner,
         int64_t count) {
  const T* x = args.inputs[0].as<T>();
  const int32_t* indices = args.inputs[1].as<int32_t>();
  U* y = args.outputs[0].as<U>();
  const int64_t grain = 16384 / (inner + 4) + 1;
  ParallelFor(stream, batch * outer * count, grain, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {  // of [batch, outer, count]
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
  SPECATTN_CHECK(args.input_count == 2 && args.output_count == 1 && args.attr_count == 2,
                 "[Gather] expected 2 inputs, 1 output and 2 attributes but has %d, %d and %d",
                 args.input_count, args.output_count, args.attr_count);
  const Tensor &x = args.inputs[0], &indices = args.inputs[1], &y = args.outputs[0];
  const int axis = static_cast<int>(args.attrs[0]), batch_dims = static_cast<int>(args.attrs[1]);
  SPECATTN_CHECK(
      axis >= 0 && axis < x.rank && batch_dims >= 0 && batch_dims <= axis && batch_dims <= indices.rank,
      "[Gather] axis %d and batchDims %d do not fit ranks %d and %d", axis, batch_dims, x.rank, indices.rank);
  SPECATTN_CHECK(indices.dtype == DType::kInt32, "[Gather] indices must be int32 but are of dtype %d",
                 static_cast<int>(indices.dtype));
  const DType expected = IsFloat(x.dtype) ? DType::kFloat32 : x.dtype;
  SPECATTN_CHECK(y.dtype == expected, "[Gather] the output must be of dtype %d but is of %d",
                 static_cast<int>(expected), static_cast<int>(y.dtype));
  int64_t batch = 1, outer = 1, inner = 1, count = 1;
  for (int i = 0; i < batch_dims; ++i) {
    SPECATTN_CHECK(x.dims[i] == indices.dims[i],
                   "[Gather] batch dimension %d is %lld in x but %lld in indices", i,
                   static_cast<long long>(x.dims[i]), static_cast<long long>(indices.dims[i]));
    batch *= x.dims[i];
  }
  for (int i = batch_dims; i < axis; ++i) outer *= x.dims[i];
  for (int i = axis + 1; i < x.rank; ++i) inner *= x.dims[i];
  for (int i = batch_dims; i < indices.rank; ++i) count *= indices.dims[i];
  SPECATTN_CHECK(y.size() == batch * outer * count * inner,
                 "[Gather] the output must have %lld elements but has %lld",
                 static_cast<long long>(batch * outer * count * inner), static_cast<long long>(y.size()));
  if (y.size() == 0) return Ok();
  const int64_t dim = x.dims[axis];
  switch (x.dtype) {
    case DType::kFloat32:
      Run<float, float>(stream, args, batch, outer, dim, inner, count);
      break;
    case DType::kBFloat16:
      Run<BFloat16, float>(stream, args, batch, outer, dim, inner, count);
      break;
    case DType::kFloat16:
      Run<Float16, float>(stream, args, batch, outer, dim, inner, count);
      break;
    case DType::kInt32:
      Run<int32_t, int32_t>(stream, args, batch, outer, dim, inner, count);
      break;
    case DType::kBool:
      Run<uint8_t, uint8_t>(stream, args, batch, outer, dim, inner, count);
      break;
  }
  return Ok();
}

}  // namespace SPECATTN_ISA
}  // namespace specattn

// SearchSorted on CUDA: one thread per value.
#include "gpu/primitives/elementwise.cuh"
#include "kernels/search_sorted.h"

namespace specattn {
namespace gpu {
namespace {

template <class T>
__global__ void Values(const T* sorted, const T* values, int32_t* y, int64_t count,
                       const SearchSortedSizes sizes) {
  const int64_t i = ElementIndex();
  if (i >= count) return;
  int64_t rest;
  const int64_t row = Divide(i, sizes.m, &rest);
  y[i] = PlaceIn(sorted + row * sizes.n, sizes.n, values[i], sizes.upper);
}

template <class T>
Status Run(Stream& stream, const Args& args, const SearchSortedSizes& sizes) {
  const Tensor& y = args.outputs[0];
  return LaunchKernel(static_cast<CudaStream&>(stream), "SearchSorted", Start::kInOrder, Values<T>,
                      ElementGrid(y.size()), kElementThreads, 0, args.inputs[0].as<T>(),
                      args.inputs[1].as<T>(), y.as<int32_t>(), y.size(), sizes);
}

}  // namespace

Status SearchSorted(Stream& stream, const Args& args) {
  SearchSortedSizes sizes;
  SPECATTN_RETURN_IF_ERROR(CheckSearchSorted(args, &sizes));
  if (args.outputs[0].size() == 0) return Ok();
  if (args.inputs[0].dtype == DType::kInt32) return Run<int32_t>(stream, args, sizes);
  return Run<float>(stream, args, sizes);
}

}  // namespace gpu
}  // namespace specattn

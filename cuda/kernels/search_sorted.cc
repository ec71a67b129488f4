// SearchSorted on the CPU. Threads share the values.
#include "kernels/search_sorted.h"

#include "cpu/parallel.h"

namespace specattn {
namespace SPECATTN_ISA {
namespace {

template <class T>
void Run(Stream& stream, const Args& args, const SearchSortedSizes& sizes) {
  const T *sorted = args.inputs[0].as<T>(), *values = args.inputs[1].as<T>();
  int32_t* y = args.outputs[0].as<int32_t>();
  ParallelFor(stream, args.outputs[0].size(), 1024, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      y[i] = PlaceIn(sorted + i / sizes.m * sizes.n, sizes.n, values[i], sizes.upper);
  });
}

}  // namespace

Status SearchSorted(Stream& stream, const Args& args) {
  SearchSortedSizes sizes;
  SPECATTN_RETURN_IF_ERROR(CheckSearchSorted(args, &sizes));
  if (args.inputs[0].dtype == DType::kInt32) {
    Run<int32_t>(stream, args, sizes);
  } else {
    Run<float>(stream, args, sizes);
  }
  return Ok();
}

}  // namespace SPECATTN_ISA
}  // namespace specattn

// GatherNd on the CPU. Threads share the picked slices.
#include "kernels/gather_nd.h"

#include <cstring>

#include "cpu/parallel.h"

namespace specattn {
namespace SPECATTN_ISA {

Status GatherNd(Stream& stream, const Args& args) {
  NdIndex places;
  SPECATTN_RETURN_IF_ERROR(CheckGatherNd(args, &places));
  const Tensor& y = args.outputs[0];
  if (y.size() == 0) return Ok();
  const size_t bytes = static_cast<size_t>(places.inner) * SizeOf(y.dtype);
  const char* x = args.inputs[0].as<char>();
  const int32_t* indices = args.inputs[1].as<int32_t>();
  char* to = y.as<char>();
  ParallelFor(stream, places.count, 16384 / (places.inner + 4) + 1, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t slice = places.SliceOf(indices + i * places.depth);
      if (slice >= 0) {
        std::memcpy(to + static_cast<size_t>(i) * bytes, x + static_cast<size_t>(slice) * bytes, bytes);
      } else {
        std::memset(to + static_cast<size_t>(i) * bytes, 0, bytes);
      }
    }
  });
  return Ok();
}

}  // namespace SPECATTN_ISA
}  // namespace specattn

// Concat on the CPU. Threads share the output's rows.
#include "kernels/concat.h"

#include <cstring>

#include "cpu/parallel.h"

namespace specattn {
namespace SPECATTN_ISA {

Status Concat(Stream& stream, const Args& args) {
  ConcatSizes sizes;
  SPECATTN_RETURN_IF_ERROR(CheckConcat(args, &sizes));
  const int64_t outer = sizes.outer;
  const size_t row = sizes.row;
  if (row == 0) return Ok();
  const int64_t grain = static_cast<int64_t>(65536 / row) + 1;
  ParallelFor(stream, outer, grain, [&](int64_t begin, int64_t end) {
    char* to = args.outputs[0].as<char>() + static_cast<size_t>(begin) * row;
    for (int64_t r = begin; r < end; ++r) {
      for (int i = 0; i < args.input_count; ++i) {
        const size_t bytes = args.inputs[i].bytes() / static_cast<size_t>(outer);
        if (bytes > 0) std::memcpy(to, args.inputs[i].as<char>() + static_cast<size_t>(r) * bytes, bytes);
        to += bytes;
      }
    }
  });
  return Ok();
}

}  // namespace SPECATTN_ISA
}  // namespace specattn

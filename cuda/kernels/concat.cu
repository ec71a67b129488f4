// Concat on CUDA. A thread copies one unit of the output: the widest unit of 1 to 16 bytes that divides every input's rows
// and to which every buffer is aligned. The inputs' pointers are parameters of the launch. Inputs that are too many for one
// launch take several, each of which writes some columns.
#include "gpu/primitives/elementwise.cuh"
#include "kernels/concat.h"

namespace specattn {
namespace gpu {
namespace {

constexpr int kParts = 64;  // inputs of one launch: 1 KiB of parameters

struct Parts {
  int count = 0;
  const void* data[kParts];
  int64_t begin[kParts + 1];  // the unit at which each part begins in a row of this launch's columns
};

// Writes columns [first, first + width) of the output, whose rows have `row` units. n: outer * width.
template <class Unit>
__global__ void Units(const __grid_constant__ Parts parts, Unit* out, int64_t n, int64_t width, int64_t first,
                      int64_t row) {
  WaitForPrevious();
  LetNextStart();
  const int64_t i = ElementIndex();
  if (i >= n) return;
  int64_t column;
  const int64_t r = Divide(i, width, &column);
  int low = 0, high = parts.count - 1;
  while (low < high) {
    const int middle = (low + high + 1) / 2;
    if (parts.begin[middle] <= column) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  const int64_t begin = parts.begin[low], columns = parts.begin[low + 1] - begin;
  out[r * row + first + column] = static_cast<const Unit*>(parts.data[low])[r * columns + (column - begin)];
}

template <class Unit>
Status Run(CudaStream& stream, const Args& args, const ConcatSizes& sizes) {
  const size_t row_bytes = sizeof(Unit) * static_cast<size_t>(sizes.outer);
  Parts parts;
  parts.begin[0] = 0;
  int64_t first = 0;
  for (int i = 0; i < args.input_count; ++i) {
    const int64_t columns = static_cast<int64_t>(args.inputs[i].bytes() / row_bytes);
    if (columns > 0) {
      parts.data[parts.count] = args.inputs[i].data;
      parts.begin[parts.count + 1] = parts.begin[parts.count] + columns;
      ++parts.count;
    }
    if (parts.count == 0 || (parts.count < kParts && i + 1 < args.input_count)) continue;
    const int64_t width = parts.begin[parts.count], n = sizes.outer * width;
    SPECATTN_RETURN_IF_ERROR(LaunchKernel(stream, "Concat", Start::kEarly, Units<Unit>, ElementGrid(n),
                                          kElementThreads, 0, parts, args.outputs[0].as<Unit>(), n, width,
                                          first, static_cast<int64_t>(sizes.row / sizeof(Unit))));
    first += width;
    parts.count = 0;
  }
  return Ok();
}

}  // namespace

Status Concat(Stream& stream, const Args& args) {
  ConcatSizes sizes;
  SPECATTN_RETURN_IF_ERROR(CheckConcat(args, &sizes));
  if (sizes.row == 0) return Ok();
  size_t unit = 16;
  for (int i = 0; i < args.input_count; ++i) {
    const Tensor& x = args.inputs[i];
    const size_t bytes = x.bytes() / static_cast<size_t>(sizes.outer);
    while (bytes % unit != 0 || (bytes > 0 && !IsAligned(x.data, unit))) unit /= 2;
  }
  while (!IsAligned(args.outputs[0].data, unit)) unit /= 2;
  auto& cuda = static_cast<CudaStream&>(stream);
  if (unit == 16) return Run<uint4>(cuda, args, sizes);
  if (unit == 8) return Run<uint64_t>(cuda, args, sizes);
  if (unit == 4) return Run<uint32_t>(cuda, args, sizes);
  if (unit == 2) return Run<uint16_t>(cuda, args, sizes);
  return Run<uint8_t>(cuda, args, sizes);
}

}  // namespace gpu
}  // namespace specattn

// The launch descriptor: the numbers in an array, shared with JavaScript, that describe a launch.
//   kernel, inputs, outputs, attrs, { handle, dtype, rank, dims... } per input and output, attrs...
// `inputs`, `outputs` and `attrs` are counts; LaunchReader checks the numbers and turns them into a Launch.
#pragma once
#include <vector>

#include "core/allocator.h"
#include "core/device.h"

namespace specattn {

constexpr size_t kDescriptorLength = 8192;
constexpr int kMaxTensors = 256;
// Bound of the product of the dimensions that are not 0 in a tensor without elements. A buffer bounds the dimensions of a tensor
// with elements; without this bound, a launcher that multiplies dimensions of an empty one could overflow int64_t.
constexpr int64_t kMaxEmpty = int64_t{1} << 31;

struct KernelInfo {
  const char* name;
  int half;  // bit i: input i may be stored as bfloat16 or float16
};
extern const KernelInfo kKernels[kKernelCount];

struct Launch {
  Kernel kernel = kKernelCount;
  Args args;
};

// Reads launch descriptors. A descriptor may hold any numbers: after Read, the kernel, counts, dtypes and dimensions are whole
// numbers within their bounds, and every tensor fits its buffer. Attributes are passed on as they are; launchers check them.
class LaunchReader {
 public:
  // `launch` points into `descriptor` and into this reader: it is valid until the next Read.
  Status Read(const double* descriptor, const Allocator& allocator, Launch* launch);

 private:
  std::vector<Tensor> tensors_ = std::vector<Tensor>(kMaxTensors);
};

}  // namespace specattn

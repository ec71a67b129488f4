// A launch as JavaScript describes it: numbers in an array that it shares with C++.
//   kernel, inputs, outputs, attrs, { handle, dtype, rank, dims... } per input and output, attrs...
#pragma once
#include <vector>

#include "core/allocator.h"
#include "core/device.h"

namespace specattn {

constexpr size_t kDescriptorLength = 8192;
constexpr int kMaxTensors = 256;
// Of a tensor without elements: what its other dimensions make. With it the product of a few dimensions is not too large for int64_t: those of
// a tensor with elements are bounded by its buffer.
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

// Reads and checks commands. Anything may stand in one: a launcher sees only whole, known and bounded numbers, and buffers that
// hold what their tensors' shapes say.
class LaunchReader {
 public:
  // The launch refers to `descriptor` and to this reader until the next Read.
  Status Read(const double* descriptor, const Allocator& allocator, Launch* launch);

 private:
  std::vector<Tensor> tensors_ = std::vector<Tensor>(kMaxTensors);
};

}  // namespace specattn

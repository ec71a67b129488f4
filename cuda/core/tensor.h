// Tensor, Args and Stream: everything that a kernel receives.
#pragma once
#include <cstddef>
#include <cstdint>

#include "core/status.h"

namespace specattn {

// The type in which elements are stored. A tensor that TensorFlow.js calls float32 may be stored as any of the three float types.
enum class DType : int32_t { kFloat32 = 0, kBFloat16 = 1, kFloat16 = 2, kInt32 = 3, kBool = 4 };

constexpr size_t SizeOf(DType dtype) {
  return dtype == DType::kBool ? 1 : dtype == DType::kBFloat16 || dtype == DType::kFloat16 ? 2 : 4;
}

inline const char* NameOf(DType dtype) {
  switch (dtype) {
    case DType::kFloat32:
      return "float32";
    case DType::kBFloat16:
      return "bfloat16";
    case DType::kFloat16:
      return "float16";
    case DType::kInt32:
      return "int32";
    case DType::kBool:
      return "bool";
  }
  return "unknown";
}

constexpr bool IsFloat(DType dtype) { return dtype <= DType::kFloat16; }

constexpr int kMaxRank = 8;

// A dense row-major array on the stream's device.
struct Tensor {
  void* data = nullptr;  // may be null where size() is 0
  DType dtype = DType::kFloat32;
  int32_t rank = 0;
  int64_t dims[kMaxRank] = {};

  int64_t size() const {
    int64_t n = 1;
    for (int i = 0; i < rank; ++i) n *= dims[i];
    return n;
  }
  size_t bytes() const { return static_cast<size_t>(size()) * SizeOf(dtype); }
  template <class T>
  T* as() const {
    return static_cast<T*>(data);
  }
};

// A number from JavaScript as an integer; INT64_MIN if it is not whole or its magnitude exceeds 2^53.
inline int64_t Whole(double x) {
  return x >= -0x1p53 && x <= 0x1p53 && x == static_cast<double>(static_cast<int64_t>(x))
             ? static_cast<int64_t>(x)
             : INT64_MIN;
}

// A launch's arguments: inputs, outputs and attributes, in the order that the comment of kernels/<name>.h gives. The caller
// allocates the outputs. They never overlap an input unless that comment says so.
struct Args {
  const Tensor* inputs = nullptr;
  int input_count = 0;
  const Tensor* outputs = nullptr;
  int output_count = 0;
  const double* attrs = nullptr;
  int attr_count = 0;
};

// The queue of a device. A launcher queues its work here and may ask for scratch memory; each device derives its own class.
class Stream {
 public:
  virtual ~Stream() = default;
  // Device memory for this launch alone, 64-byte aligned; later launches may reuse it. Null where there is no memory.
  // A launch may call this once: a second call returns null and the device refuses the launch, since both calls would
  // name the same memory.
  virtual void* Scratch(size_t bytes) = 0;
};

// The host function of a kernel, on every device: it checks its arguments, then queues the work.
using Launcher = Status (*)(Stream& stream, const Args& args);

}  // namespace specattn

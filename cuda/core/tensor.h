// Tensor, Args and Stream: all that a kernel knows of the world.
#pragma once
#include <cstddef>
#include <cstdint>

#include "core/status.h"

namespace specattn {

// Storage, not meaning: a float32 tensor of TF.js may be stored as any of the three float types.
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

// A number from outside as the whole number that it is; where it is none, or beyond 2^53, less than any.
inline int64_t Whole(double x) {
  return x >= -0x1p53 && x <= 0x1p53 && x == static_cast<double>(static_cast<int64_t>(x))
             ? static_cast<int64_t>(x)
             : INT64_MIN;
}

// A launch: what it reads, what it writes (allocated by the caller, never overlapping an input unless the
// kernel's comment says so) and its attributes as doubles, in the order the kernel's comment gives.
struct Args {
  const Tensor* inputs = nullptr;
  int input_count = 0;
  const Tensor* outputs = nullptr;
  int output_count = 0;
  const double* attrs = nullptr;
  int attr_count = 0;
};

// Where a launcher queues its work. Each device has its own kind.
class Stream {
 public:
  virtual ~Stream() = default;
  // Device memory for this launch alone, 64-byte aligned; later launches may reuse it. Null where there is no memory.
  // A launch may call this once: a second call returns null and the device refuses the launch, since both calls would
  // name the same memory.
  virtual void* Scratch(size_t bytes) = 0;
};

// The one signature of every kernel on every device. A launcher validates its arguments, then queues.
using Launcher = Status (*)(Stream& stream, const Args& args);

}  // namespace specattn

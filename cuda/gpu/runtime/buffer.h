// Buffer: device memory that a stream and its captures share.
#pragma once
#include <cuda_runtime_api.h>

#include <memory>
#include <vector>

namespace specattn {
namespace gpu {

// Device memory that its last owner frees. The stream owns its current buffers; a capture owns those that its launches
// use, which the stream may have replaced by larger ones since.
class Buffer {
 public:
  // Null if the memory can't be had.
  static std::shared_ptr<Buffer> Make(size_t bytes) {
    void* data = nullptr;
    if (cudaMalloc(&data, bytes) != cudaSuccess) {
      cudaGetLastError();
      return nullptr;
    }
    return std::shared_ptr<Buffer>(new Buffer(data, bytes));
  }
  ~Buffer() { cudaFree(data_); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  void* data() const { return data_; }
  size_t bytes() const { return bytes_; }

 private:
  Buffer(void* data, size_t bytes) : data_(data), bytes_(bytes) {}
  void* data_;
  size_t bytes_;
};
using Buffers = std::vector<std::shared_ptr<Buffer>>;

}  // namespace gpu
}  // namespace specattn

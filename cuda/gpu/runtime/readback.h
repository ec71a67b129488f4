// PinnedReadback: copies a small result to the host without stopping the device.
#pragma once
#include <cuda_runtime_api.h>

#include <cstring>

#include "core/device.h"
#include "gpu/runtime/check_cuda.h"
#include "gpu/runtime/stream.h"

namespace specattn {
namespace gpu {

// Owns pinned host memory for one result. Start queues a copy into it; Finish waits for this copy only.
class PinnedReadback final : public Readback {
 public:
  explicit PinnedReadback(CudaStream& stream) : stream_(stream) {}
  ~PinnedReadback() override {
    if (arrived_) {
      cudaEventSynchronize(arrived_);
      cudaEventDestroy(arrived_);
    }
    if (data_) cudaFreeHost(data_);
  }
  Status Open(size_t bytes) {
    bytes_ = bytes;
    SPECATTN_CUDA("allocate pinned host memory", cudaMallocHost(&data_, bytes ? bytes : 1));
    SPECATTN_CUDA("make an event", cudaEventCreateWithFlags(&arrived_, cudaEventDisableTiming));
    return Ok();
  }
  Status Start(const void* device) override {
    SPECATTN_RETURN_IF_ERROR(stream_.FlushSoftmax());
    SPECATTN_CUDA("copy from the device",
                  cudaMemcpyAsync(data_, device, bytes_, cudaMemcpyDeviceToHost, stream_.stream()));
    SPECATTN_CUDA("record an event", cudaEventRecord(arrived_, stream_.stream()));
    return Ok();
  }
  Status Finish(void* host) override {
    SPECATTN_CUDA("read from the device", cudaEventSynchronize(arrived_));
    if (bytes_) std::memcpy(host, data_, bytes_);
    return Ok();
  }

 private:
  CudaStream& stream_;
  size_t bytes_ = 0;
  void* data_ = nullptr;
  cudaEvent_t arrived_ = nullptr;
};

}  // namespace gpu
}  // namespace specattn

// The CUDA implementation of Device, on GPU 0: all work runs on one stream, and captures are CUDA graphs. Also finds out
// whether the machine has a GPU that can be used.
#include <cuda_runtime_api.h>

#include <cstdio>
#include <cstring>
#include <new>
#include <string>
#include <vector>

#include "core/device.h"
#include "gpu/runtime/check_cuda.h"
#include "gpu/runtime/device_stream.h"
#include "gpu/runtime/graph.h"
#include "gpu/runtime/readback.h"
#include "gpu/runtime/staging.h"

namespace specattn {
namespace gpu {

namespace {

// The lowest compute capability that kernels are compiled for, as major * 10 + minor.
constexpr int kMinComputeCapability = 80;

class CudaDevice final : public Device {
 public:
  ~CudaDevice() override {
    if (stream_.stream()) cudaStreamSynchronize(stream_.stream());
    FreePending();
  }

  Status Open() {
    cudaDeviceProp properties;
    SPECATTN_CUDA("look at the GPU", cudaGetDeviceProperties(&properties, 0));
    SPECATTN_CUDA("open the GPU", cudaSetDevice(0));
    SPECATTN_RETURN_IF_ERROR(stream_.Open(properties));
    staging_.reset(new Staging(stream_.stream()));
    char gpu[256];
    Describe(properties, gpu, sizeof gpu);
    if (stream_.blas())
      std::snprintf(description_, sizeof description_, "%s, cuBLASLt", gpu);
    else
      std::snprintf(description_, sizeof description_, "%s, own matrix products (%s)", gpu,
                    stream_.blas_reason());
    return Ok();
  }

  static void Describe(const cudaDeviceProp& properties, char* text, size_t size) {
    std::snprintf(text, size, "%.120s, %.0f GiB, compute capability %d.%d", properties.name,
                  static_cast<double>(properties.totalGlobalMem) / (1 << 30), properties.major,
                  properties.minor);
  }

  const char* name() const override { return "cuda"; }
  bool asynchronous() const override { return true; }
  const char* description() const override { return description_; }

  void* Allocate(size_t bytes) override {
    void* data = nullptr;
    if (cudaMalloc(&data, bytes) == cudaSuccess) return data;
    cudaGetLastError();
    return nullptr;
  }
  void Free(void* data, size_t) override {
    if (capture_) {
      pending_frees_.push_back(data);  // cudaFree waits for the device, which would invalidate the capture
    } else {
      // A deferred softmax may write to this memory, so it runs before the memory is freed, or is dropped.
      if (!stream_.FlushSoftmax().ok()) stream_.DropDeferred();
      cudaFree(data);
    }
  }
  size_t FreeBytes() const override {
    size_t free = 0, total = 0;
    return cudaMemGetInfo(&free, &total) == cudaSuccess ? free : 0;
  }
  size_t WorkspaceBytes() const override { return stream_.workspace_bytes(); }
  void TrimWorkspace() override { stream_.TrimWorkspace(); }

  Status CopyIn(void* device, const void* host, size_t bytes) override {
    if (capture_) return Error("[capture] data can't be written to the device while launches are recorded");
    SPECATTN_RETURN_IF_ERROR(stream_.FlushSoftmax());
    return staging_->CopyIn(device, host, bytes);
  }
  Status CopyInFrom(void* device, Source& source, size_t bytes) override {
    if (capture_) return Error("[capture] data can't be written to the device while launches are recorded");
    SPECATTN_RETURN_IF_ERROR(stream_.FlushSoftmax());
    return staging_->CopyIn(device, source, bytes);
  }
  Status CopyOut(void* host, const void* device, size_t bytes) override {
    if (capture_) return Error("[capture] data can't be read from the device while launches are recorded");
    SPECATTN_RETURN_IF_ERROR(stream_.FlushSoftmax());
    return staging_->CopyOut(host, device, bytes);
  }

  Status NewReadback(size_t bytes, std::unique_ptr<Readback>* readback) override {
    std::unique_ptr<PinnedReadback> pinned(new PinnedReadback(stream_));
    SPECATTN_RETURN_IF_ERROR(pinned->Open(bytes));
    *readback = std::move(pinned);
    return Ok();
  }

  Status Launch(Kernel kernel, const Args& args) override {
    const Status status = stream_.Run(kernel, args);
    if (status.ok() || !stream_.short_of_memory()) return status;
    return Error("[allocate] %s: %zu bytes are free", std::string(status.message).c_str(), FreeBytes());
  }
  bool short_of_memory() const override { return stream_.short_of_memory(); }
  Status Synchronize() override {
    if (capture_) return Error("[capture] the device can't be waited for while launches are recorded");
    SPECATTN_RETURN_IF_ERROR(stream_.FlushSoftmax());
    SPECATTN_CUDA("wait for the device", cudaStreamSynchronize(stream_.stream()));
    return Ok();
  }

  Status WaitForOthers() override {
    SPECATTN_RETURN_IF_ERROR(stream_.FlushSoftmax());
    SPECATTN_CUDA("wait for everything on the device", cudaDeviceSynchronize());
    return Ok();
  }

  Status BeginCapture() override {
    if (capture_) return Error("[capture] launches are being recorded already");
    SPECATTN_RETURN_IF_ERROR(stream_.FlushSoftmax());
    // Relaxed: the allocator may call cudaMalloc during the capture.
    SPECATTN_CUDA("record launches", cudaStreamBeginCapture(stream_.stream(), cudaStreamCaptureModeRelaxed));
    capture_.reset(new Graph(stream_));
    stream_.BeginCapture();
    const Status status = capture_->Mark();
    if (!status.ok()) Abandon();
    return status;
  }
  Status Mark() override {
    if (!capture_) return Error("[mark] no launches are being recorded");
    SPECATTN_RETURN_IF_ERROR(stream_.FlushSoftmax());
    return capture_->Mark();
  }
  Status EndCapture(std::unique_ptr<Capture>* capture) override {
    if (!capture_) return Error("[capture] no launches are being recorded");
    const Status flushed = stream_.FlushSoftmax();
    stream_.DropDeferred();
    std::unique_ptr<Graph> finished = std::move(capture_);
    Buffers buffers = stream_.EndCapture();
    cudaGraph_t graph = nullptr;
    Status status = CheckCuda(cudaStreamEndCapture(stream_.stream(), &graph), "end a recording");
    if (status.ok()) status = flushed;
    FreePending();
    if (status.ok()) status = finished->Instantiate(graph, std::move(buffers));
    if (graph) cudaGraphDestroy(graph);
    SPECATTN_RETURN_IF_ERROR(status);
    *capture = std::move(finished);
    return Ok();
  }

 private:
  // Ends a capture that failed and discards it.
  void Abandon() {
    cudaGraph_t graph = nullptr;
    cudaStreamEndCapture(stream_.stream(), &graph);
    cudaGetLastError();
    if (graph) cudaGraphDestroy(graph);
    stream_.DropDeferred();
    stream_.EndCapture();
    capture_.reset();
    FreePending();
  }
  void FreePending() {
    for (void* data : pending_frees_) cudaFree(data);
    pending_frees_.clear();
  }

  DeviceStream stream_;
  std::unique_ptr<Staging> staging_;
  std::unique_ptr<Graph> capture_;    // the capture in progress, else null
  std::vector<void*> pending_frees_;  // memory to free when the capture ends
  char description_[512] = "";
};

// Fills *properties with those of GPU 0. An error says why no GPU can be used.
Status FindGpu(cudaDeviceProp* properties) {
  int driver = 0, count = 0;
  if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0)
    return Error("no NVIDIA driver was found on this machine");
  const cudaError_t error = cudaGetDeviceCount(&count);
  cudaGetLastError();
  if (error == cudaErrorInsufficientDriver)
    return Error("the NVIDIA driver supports CUDA %d.%d at most, but this build needs %d.%d", driver / 1000,
                 driver % 1000 / 10, CUDART_VERSION / 1000, CUDART_VERSION % 1000 / 10);
  if (error == cudaErrorNoDevice || (error == cudaSuccess && count == 0))
    return Error("the NVIDIA driver found no GPU");
  if (error != cudaSuccess) return Error("the NVIDIA driver failed: %s", cudaGetErrorString(error));
  SPECATTN_CUDA("look at the GPU", cudaGetDeviceProperties(properties, 0));
  SPECATTN_CHECK(properties->major * 10 + properties->minor >= kMinComputeCapability,
                 "%s has compute capability %d.%d, but 8.0 or later is needed", properties->name,
                 properties->major, properties->minor);
  return Ok();
}

}  // namespace
}  // namespace gpu

void ProbeCuda(Probe* probe) {
  *probe = {"cuda", "", ""};
  cudaDeviceProp properties;
  const Status status = gpu::FindGpu(&properties);
  if (status.ok())
    gpu::CudaDevice::Describe(properties, probe->description, sizeof probe->description);
  else
    std::snprintf(probe->reason, sizeof probe->reason, "%s", status.message);
}

Status OpenCuda(std::unique_ptr<Device>* device) {
  cudaDeviceProp properties;
  const Status found = gpu::FindGpu(&properties);
  if (!found.ok()) return Error("[cuda] %s", std::string(found.message).c_str());
  std::unique_ptr<gpu::CudaDevice> cuda(new (std::nothrow) gpu::CudaDevice);
  SPECATTN_CHECK(cuda, "[cuda] out of memory");
  SPECATTN_RETURN_IF_ERROR(cuda->Open());
  *device = std::move(cuda);
  return Ok();
}

}  // namespace specattn

// Device: where tensors live and kernels run. There are two: `cpu`, which every build has, and `cuda`, which needs a build with
// nvcc and an NVIDIA GPU.
#pragma once
#include <cstddef>
#include <cstring>
#include <memory>
#include <vector>

#include "core/tensor.h"

namespace specattn {

// The kernels' numbers, in the order of kernels.def.
enum Kernel : int {
#define KERNEL(name, half) k##name,
#include "kernels.def"
#undef KERNEL
  kKernelCount
};

// The launches of one step, recorded once over fixed buffers and replayed.
class Capture {
 public:
  virtual ~Capture() = default;
  virtual Status Replay() = 0;
  // Writes the milliseconds of each stretch (Device::Mark ends a stretch) of the last replay (`back` 0) or of the one before it
  // (1), at most `capacity` numbers, and returns how many it wrote. Waits for that replay.
  virtual int Times(int back, double* milliseconds, int capacity) = 0;
  // The number of kernels that a replay runs.
  virtual int Launches() const = 0;
};

// Host memory for copies of a buffer's bytes. The device goes on while a copy is under way; each copy replaces the one before it.
class Readback {
 public:
  virtual ~Readback() = default;
  // Queues a copy from device memory, in order with the launches.
  virtual Status Start(const void* device) = 0;
  // Waits for the last copy, but not for work that was queued after it, and writes its bytes to `host`. May be called again.
  virtual Status Finish(void* host) = 0;
};

// Bytes that are not in memory yet, for instance those of a file.
class Source {
 public:
  virtual ~Source() = default;
  // Writes bytes [at, at + bytes) to host memory.
  virtual Status Read(void* to, size_t at, size_t bytes) = 0;
};

class Device {
 public:
  virtual ~Device() = default;

  virtual const char* name() const = 0;         // "cpu"
  virtual const char* description() const = 0;  // for people to read: "AMD EPYC, 2 threads, avx512"

  // Whether Launch returns before the kernel has run.
  virtual bool asynchronous() const { return false; }

  // Memory straight from the system, 64-byte aligned; null if there is none. Allocator (allocator.h) caches it.
  virtual void* Allocate(size_t bytes) = 0;
  virtual void Free(void* data, size_t bytes) = 0;
  virtual size_t FreeBytes() const = 0;  // free memory of the hardware; 0 if unknown

  // Bytes of the workspace: memory that the device holds for launches to work in (Stream::Scratch and the like), that of
  // captures included. The Allocator does not count it.
  virtual size_t WorkspaceBytes() const = 0;
  // Frees the workspace that no capture holds. The next launch that needs some allocates it anew.
  virtual void TrimWorkspace() = 0;

  // Copies from the host and to the host, in order with the launches. Both return when the host's memory may be reused: CopyOut
  // with the bytes in place, CopyIn perhaps before they have reached the device.
  virtual Status CopyIn(void* device, const void* host, size_t bytes) = 0;
  virtual Status CopyOut(void* host, const void* device, size_t bytes) = 0;
  // CopyIn from a source. The device tells the source, part by part, where to write.
  virtual Status CopyInFrom(void* device, Source& source, size_t bytes) = 0;
  // The default, for devices that run launches at once, copies when Start is called.
  virtual Status NewReadback(size_t bytes, std::unique_ptr<Readback>* readback);

  // Checks the arguments and queues the kernel. Between BeginCapture and EndCapture the launch is recorded instead of run; a
  // device may then leave the checks to the first replay.
  virtual Status Launch(Kernel kernel, const Args& args) = 0;
  // Whether the last launch failed because it found no memory for its workspace; it may be tried again.
  virtual bool short_of_memory() const = 0;
  virtual Status Synchronize() = 0;  // waits until every launch has run
  // Waits for everything on the same hardware, work that others (TensorFlow) queued included.
  virtual Status WaitForOthers() { return Ok(); }
  virtual Status BeginCapture() = 0;
  virtual Status Mark() = 0;  // ends a stretch of the capture, which Capture::Times reports
  virtual Status EndCapture(std::unique_ptr<Capture>* capture) = 0;
};

class PlainReadback final : public Readback {
 public:
  PlainReadback(Device& device, size_t bytes) : device_(device), bytes_(bytes) {}
  Status Start(const void* device) override { return device_.CopyOut(bytes_.data(), device, bytes_.size()); }
  Status Finish(void* host) override {
    if (!bytes_.empty()) std::memcpy(host, bytes_.data(), bytes_.size());
    return Ok();
  }

 private:
  Device& device_;
  std::vector<char> bytes_;
};

inline Status Device::NewReadback(size_t bytes, std::unique_ptr<Readback>* readback) {
  readback->reset(new PlainReadback(*this, bytes));
  return Ok();
}

// What was found of a device without opening it for use. `reason` says why it can't be used, and is empty if it can.
struct Probe {
  const char* name;
  char description[256];
  char reason[256];
};

void ProbeCpu(Probe* probe);
void ProbeCuda(Probe* probe);
Status OpenCpu(std::unique_ptr<Device>* device);
Status OpenCuda(std::unique_ptr<Device>* device);

}  // namespace specattn

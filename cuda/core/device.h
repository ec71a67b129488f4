// Device: where tensors live and kernels run. `cpu` is always there; `cuda` where it was built and a GPU
// answers.
#pragma once
#include <cstddef>
#include <cstring>
#include <memory>
#include <vector>

#include "core/tensor.h"

namespace specattn {

// The kernels by number, in the order of kernels.def.
enum Kernel : int {
#define KERNEL(name, half) k##name,
#include "kernels.def"
#undef KERNEL
  kKernelCount
};

// A recorded list of launches over fixed buffers.
class Capture {
 public:
  virtual ~Capture() = default;
  virtual Status Replay() = 0;
  // How long each stretch took, up to its Mark, in the last replay (`back` 0) or in the one before it (1). That
  // one has ended when this is asked; the last one may be running. At most `capacity` numbers; returns how many.
  virtual int Times(int back, double* milliseconds, int capacity) = 0;
  // Kernels that a replay runs.
  virtual int Launches() const = 0;
};

// Host memory that a buffer's bytes are copied to, time and again, while the device goes on.
class Readback {
 public:
  virtual ~Readback() = default;
  // Queues a copy, in order with the launches, over what the last one brought.
  virtual Status Start(const void* device) = 0;
  // Waits for the copy, not for what was queued after it; hands out its bytes, again if asked again.
  virtual Status Finish(void* host) = 0;
};

// Bytes that are not in memory yet: a file's.
class Source {
 public:
  virtual ~Source() = default;
  // Bytes [at, at + bytes) to host memory.
  virtual Status Read(void* to, size_t at, size_t bytes) = 0;
};

class Device {
 public:
  virtual ~Device() = default;

  virtual const char* name() const = 0;         // "cpu"
  virtual const char* description() const = 0;  // for people: "AMD EPYC, 2 threads, avx512"

  // Whether launches return before they have run.
  virtual bool asynchronous() const { return false; }

  // Memory as the system gives it, 64-byte aligned; null when it can't be had. Allocator (allocator.h) caches
  // it.
  virtual void* Allocate(size_t bytes) = 0;
  virtual void Free(void* data, size_t bytes) = 0;
  virtual size_t FreeBytes() const = 0;

  // Bytes of device memory that the device holds for launches to work in (Stream::Scratch and the like), captures included.
  // The Allocator does not count them.
  virtual size_t WorkspaceBytes() const = 0;
  // Frees the workspace that no capture holds. The next launch that needs some allocates it anew.
  virtual void TrimWorkspace() = 0;

  // Host to device and back, in order with the launches; both return when the host's memory may be used
  // again.
  virtual Status CopyIn(void* device, const void* host, size_t bytes) = 0;
  virtual Status CopyOut(void* host, const void* device, size_t bytes) = 0;
  // CopyIn from a source, which writes where the device tells it to, part by part.
  virtual Status CopyInFrom(void* device, Source& source, size_t bytes) = 0;
  // For devices that run launches at once: a plain copy.
  virtual Status NewReadback(size_t bytes, std::unique_ptr<Readback>* readback);

  // Validates, then queues. Between BeginCapture and EndCapture a launch is recorded and not run; a device may leave validating
  // it to the first replay.
  virtual Status Launch(Kernel kernel, const Args& args) = 0;
  // Whether the last launch failed because it found no memory for its workspace; it may be tried again.
  virtual bool short_of_memory() const = 0;
  virtual Status Synchronize() = 0;
  // Waits for what others (TensorFlow) queued on the same hardware, in any order with the launches.
  virtual Status WaitForOthers() { return Ok(); }
  virtual Status BeginCapture() = 0;
  virtual Status Mark() = 0;  // ends a stretch of the recording that is timed on its own
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

// What a look at the machine found. `reason` says why the device can't be used, empty if it can.
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

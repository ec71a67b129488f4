// Device: where tensors live and kernels run. `cpu` is always there; `cuda` where it was built and a GPU
// answers.
#pragma once
#include <cstddef>
#include <memory>

#include "tensor.h"

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
  // How long each stretch of the last replay took, up to its Mark: at most `capacity` numbers; returns how
  // many.
  virtual int Times(double* milliseconds, int capacity) = 0;
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

  // Memory as the system gives it, 64-byte aligned; null when it can't be had. Allocator (allocator.h) caches
  // it.
  virtual void* Allocate(size_t bytes) = 0;
  virtual void Free(void* data, size_t bytes) = 0;
  virtual size_t FreeBytes() const = 0;

  // Host to device and back, in order with the launches; both return when the host's memory may be used
  // again.
  virtual Status CopyIn(void* device, const void* host, size_t bytes) = 0;
  virtual Status CopyOut(void* host, const void* device, size_t bytes) = 0;
  // CopyIn from a source, which writes where the device tells it to, part by part.
  virtual Status CopyInFrom(void* device, Source& source, size_t bytes) = 0;

  // Validates, then queues. Between BeginCapture and EndCapture a launch is recorded and not run; a device may leave validating
  // it to the first replay.
  virtual Status Launch(Kernel kernel, const Args& args) = 0;
  virtual Status Synchronize() = 0;
  virtual Status BeginCapture() = 0;
  virtual Status Mark() = 0;  // ends a stretch of the recording that is timed on its own
  virtual Status EndCapture(std::unique_ptr<Capture>* capture) = 0;
};

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

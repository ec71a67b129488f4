// CudaStream: what a CUDA launcher knows of its device.
#pragma once
#include <cuda_runtime_api.h>

#include "core/tensor.h"
#include "gpu/attention/deferred_softmax.h"

namespace specattn {
namespace gpu {

class Blas;

constexpr int kCounters = 16384;

// The CUDA device's stream: launches are queued in order, and recorded as a CUDA graph's nodes while the device captures.
class CudaStream : public Stream {
 public:
  virtual cudaStream_t stream() const = 0;
  virtual int processors() const = 0;                  // streaming multiprocessors
  virtual int64_t shared_bytes_per_block() const = 0;  // at most, with the attribute set (LaunchKernel does)
  // What this GPU's kernels were compiled for: 80, 90, ...; newer instructions are missing from them.
  virtual int architecture() const = 0;
  // Whether kernels may start early (launch.cuh).
  virtual bool starts_early() const = 0;
  // Whether `data` was complete before the previous launch was queued, so that a kernel which starts early may
  // read it before WaitForPrevious: a model's weights and such.
  virtual bool Settled(const void* data) const = 0;
  // The launch that is being queued writes no rows of `cache` [G,C,D] below *position.
  virtual void Appends(const void* cache, const int32_t* position) = 0;
  // Where it says below which row a cache is complete that the previous launch appended to; null of anything else.
  virtual const int32_t* SettledBelow(const void* cache) const = 0;
  virtual void Launched() = 0;  // LaunchKernel says that it queued a kernel
  // Puts the weights of the attention that is being queued off (weigh.h). They are made before a launch that reads or writes them, or
  // writes what they are made of, and before everything else: copies, marks, replays, memory that is freed, the beginning and end of
  // a recording, the host's waiting.
  virtual void DeferSoftmax(const DeferredSoftmax& deferred) = 0;
  // Memory for its scores and totals until then; null where there is none.
  virtual Status AllocateScores(size_t bytes, void** kept) = 0;
  // Makes all weights that were put off; where that fails they stay put off.
  virtual Status FlushSoftmax() = 0;
  // `count` (at most kCounters) zeros for blocks of one launch to count each other with (last_block.cuh), which leaves them
  // zero.
  virtual unsigned* Counters(int count) = 0;
  // cuBLASLt, or null where it can't be loaded.
  virtual Blas* blas() = 0;
};

}  // namespace gpu
}  // namespace specattn

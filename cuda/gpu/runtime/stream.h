// CudaStream: the interface through which a CUDA launcher uses its device.
#pragma once
#include <cuda_runtime_api.h>

#include "core/tensor.h"
#include "gpu/attention/deferred_softmax.h"

namespace specattn {
namespace gpu {

class Blas;

constexpr int kCounters = 16384;  // the most that one launch can have

// The one CUDA stream of the device. Launches run in the order in which they are queued; during a capture they become
// nodes of a CUDA graph instead.
class CudaStream : public Stream {
 public:
  virtual cudaStream_t stream() const = 0;
  virtual int processors() const = 0;  // streaming multiprocessors
  // The most shared memory that a block can have, in bytes, once a kernel opts in (LaunchKernel does that).
  virtual int64_t shared_bytes_per_block() const = 0;
  // The compute capability for which the kernels were compiled, times ten: 80, 90, ... It can be lower than the GPU's.
  virtual int architecture() const = 0;
  // Whether kernels may start early (launch.cuh).
  virtual bool starts_early() const = 0;
  // Whether the previous launch wrote nothing to `data`. A kernel that starts early may then read it before WaitForPrevious
  // (a model's weights, for example).
  virtual bool Settled(const void* data) const = 0;
  // A launcher declares that its launch writes only rows at or after *position of `cache` [G,C,D].
  virtual void Appends(const void* cache, const int32_t* position) = 0;
  // The `position` that the previous launch declared for `cache` by Appends: rows before *position are complete already.
  // Null if it declared none.
  virtual const int32_t* SettledBelow(const void* cache) const = 0;
  virtual void Launched() = 0;  // LaunchKernel calls this for each kernel that it queued
  // Defers the softmax that turns the scores of the attention being queued into weights (deferred_softmax.h).
  // The stream flushes deferred softmaxes before a launch that reads or writes their weights or writes their other
  // inputs, and before every copy, mark, replay, free, wait of the host, and begin or end of a capture.
  virtual void DeferSoftmax(const DeferredSoftmax& deferred) = 0;
  // Sets *memory to device memory for the scores and totals of a call whose softmax will be deferred, valid until
  // FlushSoftmax; to null if there is none.
  virtual Status AllocateScores(size_t bytes, void** memory) = 0;
  // Queues one kernel that writes the weights of all deferred calls. If this fails, they stay deferred.
  virtual Status FlushSoftmax() = 0;
  // Counters by which the blocks of one launch find out which of them is the last (last_block.cuh). They are zero, and the
  // launch must leave them zero. Null if `count` exceeds kCounters.
  virtual unsigned* Counters(int count) = 0;
  // cuBLASLt; null if the library can't be loaded.
  virtual Blas* blas() = 0;
};

}  // namespace gpu
}  // namespace specattn

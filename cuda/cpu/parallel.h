// ParallelFor, by which CPU kernels share a loop between threads, and CpuStream, the stream that runs it.
#pragma once
#include <cstdint>

#include "core/tensor.h"

namespace specattn {

// The CPU device's stream. Work runs at once, on the calling thread and the threads of a pool.
class CpuStream : public Stream {
 public:
  using Body = void (*)(void* context, int64_t begin, int64_t end);
  // Calls body(context, begin, end) for disjoint ranges that cover [0, count), each at most `grain` long, on any thread. Returns
  // when all calls have returned.
  virtual void Parallel(int64_t count, int64_t grain, Body body, void* context) = 0;
  virtual int threads() const = 0;
};

namespace {  // internal linkage: each instruction set has its own copy (see simd.h)

// Calls fn(begin, end) for disjoint ranges that cover [0, count), on several threads. No range is longer than `grain`: a grain of
// 10 us of work or more is worth a thread's start. A loop of at most `grain` stays on the calling thread.
template <class Fn>
inline void ParallelFor(Stream& stream, int64_t count, int64_t grain, const Fn& fn) {
  if (count <= 0) return;
  if (count <= grain) {
    fn(static_cast<int64_t>(0), count);
    return;
  }
  static_cast<CpuStream&>(stream).Parallel(
      count, grain,
      [](void* context, int64_t begin, int64_t end) { (*static_cast<const Fn*>(context))(begin, end); },
      const_cast<Fn*>(&fn));
}

}  // namespace
}  // namespace specattn

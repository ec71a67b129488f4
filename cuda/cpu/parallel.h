// ParallelFor: how CPU kernels use every core.
#pragma once
#include <cstdint>

#include "core/tensor.h"

namespace specattn {

// The CPU device's stream: runs at once, on the caller's thread and the pool's.
class CpuStream : public Stream {
 public:
  using Body = void (*)(void* context, int64_t begin, int64_t end);
  // Calls body(context, begin, end) over disjoint ranges that cover [0, count), each at most `grain` long, on
  // any thread.
  virtual void Parallel(int64_t count, int64_t grain, Body body, void* context) = 0;
  virtual int threads() const = 0;
};

namespace {  // internal linkage: each instruction set's build keeps its own copy (see simd.h)

// fn(begin, end) over disjoint ranges that cover [0, count). `grain`: the longest range one call gets; choose
// it so that a range is worth 10 us or more, and a count <= grain stays on the caller's thread.
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

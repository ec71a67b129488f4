// Scatter on the CPU.
#include "kernels/scatter.h"

#include "cpu/parallel.h"

namespace specattn {
namespace SPECATTN_ISA {
namespace {

constexpr int64_t kGrain = 16384;

// Integers add modulo 2^32.
inline float Plus(float a, float b) { return a + b; }
inline uint32_t Plus(uint32_t a, uint32_t b) { return a + b; }
inline uint8_t Plus(uint8_t a, uint8_t) { return a; }  // never called: CheckScatter refuses to add bools

// Threads share the columns of the slices, not the places, so that each element gets its updates in order.
template <class T>
void Run(Stream& stream, const Args& args, const ScatterCall& call) {
  const Tensor& y = args.outputs[0];
  const NdIndex& places = call.places;
  const int32_t* indices = args.inputs[0].as<int32_t>();
  const T *updates = args.inputs[1].as<T>(), *base = args.inputs[2].as<T>();
  T* out = y.as<T>();
  ParallelFor(stream, y.size(), kGrain, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) out[i] = base[call.one_base ? 0 : i];
  });
  const int64_t columns = kGrain / (places.count + 1) + 64;
  ParallelFor(stream, places.inner, columns, [&](int64_t begin, int64_t end) {
    for (int64_t n = 0; n < places.count; ++n) {
      const int64_t slice = places.SliceOf(indices + n * places.depth);
      if (slice < 0) continue;
      T* __restrict to = out + slice * places.inner;
      const T* __restrict from = updates + n * places.inner;
      for (int64_t j = begin; j < end; ++j) {
        const T update = call.one_update ? *updates : from[j];
        to[j] = call.adds ? Plus(to[j], update) : update;
      }
    }
  });
}

}  // namespace

Status Scatter(Stream& stream, const Args& args) {
  ScatterCall call;
  SPECATTN_RETURN_IF_ERROR(CheckScatter(args, &call));
  const Tensor& y = args.outputs[0];
  if (y.size() == 0) return Ok();
  if (y.dtype == DType::kBool) {
    Run<uint8_t>(stream, args, call);
  } else if (y.dtype == DType::kInt32) {
    Run<uint32_t>(stream, args, call);
  } else {
    Run<float>(stream, args, call);
  }
  return Ok();
}

}  // namespace SPECATTN_ISA
}  // namespace specattn

// Pad on the CPU. Threads share the output's rows, which run along the last axis.
#include "kernels/pad.h"

#include <cstring>

#include "core/convert.h"
#include "cpu/parallel.h"

namespace specattn {
namespace SPECATTN_ISA {
namespace {

constexpr int64_t kGrain = 16384;

// The row of x that row `row` of the output shows; -1 if it shows the constant alone.
int64_t SourceRow(const PadCall& call, int64_t row) {
  int64_t source = 0, step = 1;
  for (int axis = call.rank - 2; axis >= 0; --axis) {
    const int64_t at = call.Source(axis, row % call.out[axis]);
    if (at < 0) return -1;
    source += at * step;
    step *= call.in[axis];
    row /= call.out[axis];
  }
  return source;
}

template <class T>
void Run(Stream& stream, const PadCall& call, const Tensor& x, const Tensor& y) {
  const int last = call.rank - 1;
  const int64_t in = call.in[last], out = call.out[last], before = call.before[last];
  T constant;
  Convert(call.constant, &constant);
  ParallelFor(stream, y.size() / out, kGrain / out + 1, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t source = SourceRow(call, row);
      T* __restrict to = y.as<T>() + row * out;
      if (source < 0) {
        for (int64_t i = 0; i < out; ++i) to[i] = constant;
        continue;
      }
      const T* __restrict from = x.as<T>() + source * in;
      const auto edge = [&](int64_t i) {
        const int64_t at = call.Source(last, i);
        return at < 0 ? constant : from[at];
      };
      for (int64_t i = 0; i < before; ++i) to[i] = edge(i);
      if (in > 0) std::memcpy(to + before, from, static_cast<size_t>(in) * sizeof(T));
      for (int64_t i = before + in; i < out; ++i) to[i] = edge(i);
    }
  });
}

}  // namespace

Status Pad(Stream& stream, const Args& args) {
  PadCall call;
  SPECATTN_RETURN_IF_ERROR(CheckPad(args, &call));
  const Tensor &x = args.inputs[0], &y = args.outputs[0];
  if (y.size() == 0) return Ok();
  if (y.dtype == DType::kBool) {
    Run<uint8_t>(stream, call, x, y);
  } else if (y.dtype == DType::kInt32) {
    Run<int32_t>(stream, call, x, y);
  } else {
    Run<float>(stream, call, x, y);
  }
  return Ok();
}

}  // namespace SPECATTN_ISA
}  // namespace specattn

// Fold on the CPU. Threads share the rows of x.
#include "kernels/fold.h"

#include <cstring>

#include "cpu/parallel.h"

namespace specattn {
namespace SPECATTN_ISA {
namespace {

// Adds row `row` of a filter's places, for all windows of one row of windows, to a row of x.
void AddRow(const FoldCall& call, const float* windows, int64_t row, float* x) {
  const WindowAxis& columns = call.windows.columns;
  const int64_t channels = call.windows.channels;
  const bool adjacent = columns.dilation == 1 && call.places > 1;
  for (int64_t j = 0; j < columns.out; ++j) {
    int64_t begin, end;
    columns.Inside(j, &begin, &end);
    if (begin >= end) continue;
    const float* __restrict from = windows + call.Offset(0, 0, j, row, begin);
    float* __restrict to = x + (columns.Start(j) + begin * columns.dilation) * channels;
    if (adjacent) {
      for (int64_t c = 0; c < (end - begin) * channels; ++c) to[c] += from[c];
      continue;
    }
    for (int64_t place = begin; place < end; ++place) {
      for (int64_t c = 0; c < channels; ++c) to[c] += from[c];
      to += columns.dilation * channels;
      if (call.places > 1) from += channels;
    }
  }
}

}  // namespace

Status Fold(Stream& stream, const Args& args) {
  FoldCall call;
  SPECATTN_RETURN_IF_ERROR(CheckFold(args, &call));
  const Tensor& x = args.outputs[0];
  if (x.size() == 0) return Ok();
  const WindowAxis &rows = call.windows.rows, &columns = call.windows.columns;
  const float* windows = args.inputs[0].as<float>();
  const int64_t length = columns.in * call.windows.channels;
  const int64_t work = length + args.inputs[0].size() / (x.size() / length);
  ParallelFor(stream, call.windows.batch * rows.in, 32768 / work + 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      float* to = x.as<float>() + i * length;
      std::memset(to, 0, static_cast<size_t>(length) * sizeof(float));
      const int64_t image = i / rows.in, pixel = i % rows.in;
      int64_t first, last;
      rows.Covering(pixel, &first, &last);
      for (int64_t window = first; window < last; ++window) {
        const int64_t place = rows.PlaceOf(window, pixel);
        if (place >= 0) AddRow(call, windows + call.Offset(image, window, 0, 0, 0), place, to);
      }
    }
  });
  return Ok();
}

}  // namespace SPECATTN_ISA
}  // namespace specattn

// ResizeGrad on the CPU. Threads share the rows of dx.
#include "kernels/resize_grad.h"

#include <cstring>

#include "cpu/parallel.h"

namespace specattn {
namespace SPECATTN_ISA {
namespace {

// Adds `weight` times a row of dy to a row of dx.
void AddRow(const ResizeGradCall& call, float weight, const float* dy, float* dx) {
  const ResizeAxis& axis = call.columns.axis;
  const int64_t channels = call.channels;
  for (int64_t column = 0; column < axis.out; ++column, dy += channels) {
    const float* __restrict from = dy;
    if (!call.columns.bilinear) {
      float* __restrict to = dx + axis.Nearest(column) * channels;
      for (int64_t c = 0; c < channels; ++c) to[c] += from[c];
      continue;
    }
    int64_t left, right;
    float share;
    axis.Around(column, &left, &right, &share);
    float *a = dx + left * channels, *b = dx + right * channels;
    const float near = weight * (1.0f - share), far = weight * share;
    for (int64_t c = 0; c < channels; ++c) a[c] += near * from[c];
    for (int64_t c = 0; c < channels; ++c) b[c] += far * from[c];
  }
}

}  // namespace

Status ResizeGrad(Stream& stream, const Args& args) {
  ResizeGradCall call;
  SPECATTN_RETURN_IF_ERROR(CheckResizeGrad(args, &call));
  const Tensor &dy = args.inputs[0], &dx = args.outputs[0];
  if (dx.size() == 0) return Ok();
  const int64_t rows = call.rows.axis.in, length = call.columns.axis.in * call.channels;
  const int64_t from_rows = call.rows.axis.out, from_length = call.columns.axis.out * call.channels;
  const int64_t work = length + (from_rows / rows + 2) * from_length;
  ParallelFor(stream, call.batch * rows, 16384 / work + 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      float* to = dx.as<float>() + i * length;
      std::memset(to, 0, static_cast<size_t>(length) * sizeof(float));
      int64_t first, last;
      call.rows.Range(i % rows, &first, &last);
      const float* image = dy.as<float>() + i / rows * from_rows * from_length;
      for (int64_t row = first; row < last; ++row)
        AddRow(call, call.rows.Weight(row, i % rows), image + row * from_length, to);
    }
  });
  return Ok();
}

}  // namespace SPECATTN_ISA
}  // namespace specattn

// Resize on the CPU. Threads share the rows of y.
#include "kernels/resize.h"

#include <cstring>

#include "cpu/parallel.h"

namespace specattn {
namespace SPECATTN_ISA {
namespace {

// Interpolates a row of y from the two rows of x around it. share: the weight of `bottom`.
void Mix(const ResizeCall& call, const float* top, const float* bottom, float share, float* y) {
  const int64_t channels = call.channels;
  for (int64_t column = 0; column < call.columns.out; ++column, y += channels) {
    int64_t left, right;
    float across;
    call.columns.Around(column, &left, &right, &across);
    const float* __restrict a = top + left * channels, * __restrict b = top + right * channels;
    const float* __restrict c = bottom + left * channels, * __restrict d = bottom + right * channels;
    for (int64_t i = 0; i < channels; ++i) {
      const float above = a[i] + (b[i] - a[i]) * across, below = c[i] + (d[i] - c[i]) * across;
      y[i] = above + (below - above) * share;
    }
  }
}

// Copies the nearest pixels of a row of x to a row of y.
void Pick(const ResizeCall& call, const uint32_t* row, uint32_t* y) {
  const int64_t channels = call.channels;
  for (int64_t column = 0; column < call.columns.out; ++column, y += channels)
    std::memcpy(y, row + call.columns.Nearest(column) * channels,
                static_cast<size_t>(channels) * sizeof(uint32_t));
}

}  // namespace

Status Resize(Stream& stream, const Args& args) {
  ResizeCall call;
  SPECATTN_RETURN_IF_ERROR(CheckResize(args, &call));
  const Tensor &x = args.inputs[0], &y = args.outputs[0];
  if (y.size() == 0) return Ok();
  const int64_t in = call.columns.in * call.channels, out = call.columns.out * call.channels;
  ParallelFor(stream, call.batch * call.rows.out, 8192 / out + 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t image = i / call.rows.out * call.rows.in, row = i % call.rows.out;
      if (call.bilinear) {
        int64_t top, bottom;
        float share;
        call.rows.Around(row, &top, &bottom, &share);
        const float* from = x.as<float>();
        Mix(call, from + (image + top) * in, from + (image + bottom) * in, share, y.as<float>() + i * out);
      } else {
        Pick(call, x.as<uint32_t>() + (image + call.rows.Nearest(row)) * in, y.as<uint32_t>() + i * out);
      }
    }
  });
  return Ok();
}

}  // namespace SPECATTN_ISA
}  // namespace specattn

// MaxPoolGrad on the CPU. Threads share the images, and groups of channels within an image, so that no two of them add to the
// same element.
#include "kernels/max_pool_grad.h"

#include <cmath>

#include "cpu/parallel.h"

namespace specattn {
namespace SPECATTN_ISA {
namespace {

constexpr int64_t kChannels = 64;  // channels of a group

// Adds dy of one window to dx, for `n` channels. x and dx point to the first of these channels in the image.
void AddWindow(const Windows& windows, int64_t i, int64_t j, int64_t n, const float* dy, const float* x,
               float* dx) {
  const WindowAxis &rows = windows.rows, &columns = windows.columns;
  int64_t top, bottom, left, right;
  rows.Inside(i, &top, &bottom);
  columns.Inside(j, &left, &right);
  float largest[kChannels];
  int32_t pixels[kChannels];
  for (int64_t c = 0; c < n; ++c) {
    largest[c] = -INFINITY;
    pixels[c] = -1;
  }
  for (int64_t down = top; down < bottom; ++down) {
    const int64_t row = rows.Start(i) + down * rows.dilation;
    for (int64_t across = left; across < right; ++across) {
      const int64_t pixel = row * columns.in + columns.Start(j) + across * columns.dilation;
      const float* __restrict from = x + pixel * windows.channels;
      for (int64_t c = 0; c < n; ++c) {
        const bool above = from[c] > largest[c];
        largest[c] = above ? from[c] : largest[c];
        pixels[c] = above ? static_cast<int32_t>(pixel) : pixels[c];
      }
    }
  }
  for (int64_t c = 0; c < n; ++c)
    if (pixels[c] >= 0) dx[pixels[c] * windows.channels + c] += dy[c];
}

}  // namespace

Status MaxPoolGrad(Stream& stream, const Args& args) {
  Windows windows;
  SPECATTN_RETURN_IF_ERROR(CheckMaxPoolGrad(args, &windows));
  const Tensor &dy = args.inputs[0], &x = args.inputs[1], &dx = args.outputs[0];
  if (dx.size() == 0) return Ok();
  const int64_t channels = windows.channels, groups = (channels + kChannels - 1) / kChannels;
  const int64_t pixels = windows.rows.in * windows.columns.in,
                places = windows.rows.out * windows.columns.out;
  const int64_t work = (pixels + 4 * places) * (channels < kChannels ? channels : kChannels);
  ParallelFor(stream, windows.batch * groups, 32768 / work + 1, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t image = task / groups, first = task % groups * kChannels;
      const int64_t n = channels - first < kChannels ? channels - first : kChannels;
      const int64_t at = image * pixels * channels + first;
      float* to = dx.as<float>() + at;
      for (int64_t pixel = 0; pixel < pixels; ++pixel)
        for (int64_t c = 0; c < n; ++c) to[pixel * channels + c] = 0;
      const float* from = dy.as<float>() + image * places * channels + first;
      for (int64_t i = 0; i < windows.rows.out; ++i)
        for (int64_t j = 0; j < windows.columns.out; ++j, from += channels)
          AddWindow(windows, i, j, n, from, x.as<float>() + at, to);
    }
  });
  return Ok();
}

}  // namespace SPECATTN_ISA
}  // namespace specattn

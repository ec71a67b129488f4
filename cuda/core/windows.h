// Windows: where the windows of a filter lie in images [batch, height, width, channels]. The kernels that take gradients back
// from windows to images share it.
#pragma once
#include "core/check.h"
#include "core/host_device.h"

namespace specattn {
namespace {

// Windows along one axis. Window w covers the pixels w * stride - before + place * dilation for place < places, of which those
// below 0 or not below `in` lie outside of the image.
struct WindowAxis {
  int64_t in = 0, out = 0;  // number of pixels and of windows
  int64_t places = 1;       // pixels of a window
  int64_t stride = 1, dilation = 1, before = 0;

  // The pixel of the window's first place.
  SPECATTN_HOST_DEVICE int64_t Start(int64_t window) const { return window * stride - before; }
  // Sets [*begin, *end) to the window's places that lie inside of the image.
  SPECATTN_HOST_DEVICE void Inside(int64_t window, int64_t* begin, int64_t* end) const {
    const int64_t start = Start(window), room = in - start;
    *begin = start >= 0 ? 0 : (dilation - 1 - start) / dilation;
    *end = room <= 0 ? 0 : (room - 1) / dilation + 1;
    if (*end > places) *end = places;
  }
  // Sets [*begin, *end) to windows among which are all that cover `pixel`.
  SPECATTN_HOST_DEVICE void Covering(int64_t pixel, int64_t* begin, int64_t* end) const {
    const int64_t last = pixel + before, first = last - (places - 1) * dilation;
    *begin = first <= 0 ? 0 : (first + stride - 1) / stride;
    *end = last / stride < out ? last / stride + 1 : out;
  }
  // The place at which a window of Covering covers `pixel`, or -1 if it does not.
  SPECATTN_HOST_DEVICE int64_t PlaceOf(int64_t window, int64_t pixel) const {
    const int64_t distance = pixel - Start(window);
    return distance % dilation == 0 ? distance / dilation : -1;
  }
};

struct Windows {
  int64_t batch = 0, channels = 0;
  WindowAxis rows, columns;
};

constexpr int kWindowAttrs = 8;

// Reads the attributes of a filter: places, strides and dilations (height and width of each), then the pixels that are
// added above and left of the image.
// images: [batch, height, width, channels]
// out: the numbers of windows [batch, rows, columns, ...]; its rank is at least 3
inline Status CheckWindows(const char* op, const Tensor& images, const Tensor& out, const double* attrs,
                           Windows* windows) {
  SPECATTN_CHECK(images.rank == 4 && out.rank >= 3 && images.dims[0] == out.dims[0],
                 "[%s] images must be [B,H,W,C] and windows [B,H',W',...] of one B but have %s and %s", op,
                 ShapeText(images.dims, images.rank).text, ShapeText(out.dims, out.rank).text);
  for (int i = 0; i < kWindowAttrs; ++i) {
    const int64_t least = i < 6 ? 1 : 0, value = Whole(attrs[i]);
    SPECATTN_CHECK(value >= least && value <= INT32_MAX,
                   "[%s] attribute %d must be a whole number from %lld to %d but is %g", op, i,
                   static_cast<long long>(least), INT32_MAX, attrs[i]);
  }
  windows->batch = images.dims[0];
  windows->channels = images.dims[3];
  WindowAxis* axes[] = {&windows->rows, &windows->columns};
  for (int i = 0; i < 2; ++i) {
    *axes[i] = {images.dims[1 + i],  out.dims[1 + i],     Whole(attrs[i]),
                Whole(attrs[2 + i]), Whole(attrs[4 + i]), Whole(attrs[6 + i])};
    // Places are then computed without overflow.
    SPECATTN_CHECK(axes[i]->in <= INT32_MAX && axes[i]->out <= INT32_MAX,
                   "[%s] images and windows must have at most %d rows and columns", op, INT32_MAX);
  }
  return Ok();
}

}  // namespace
}  // namespace specattn

// Resize: scales images to another size (ResizeBilinear, ResizeNearestNeighbor).
//
// inputs   x [B,H,W,C]: float32, or int32 if not bilinear
// attrs    bilinear: 1 to interpolate between the four pixels around a place, 0 to take the nearest one
//          align: 1 if the corner pixels of x and y coincide
//          half: 1 if the centre of pixel i lies at i + 1/2, 0 if it lies at i
// outputs  y [B,H',W',C]: x's dtype
#pragma once
#include <cmath>

#include "core/check.h"
#include "core/host_device.h"

namespace specattn {
namespace {

// Maps the pixels of y along one axis to those of x.
struct ResizeAxis {
  int64_t in = 0, out = 0;  // number of pixels of x and of y
  double ratio = 1;         // pixels of x for each of y
  bool align = false, half = false;

  // Sets *low and *high to the pixels of x around the place of y's pixel i, and *share to the weight of *high.
  SPECATTN_HOST_DEVICE void Around(int64_t i, int64_t* low, int64_t* high, float* share) const {
    const double at = half ? ratio * (static_cast<double>(i) + 0.5) - 0.5 : ratio * static_cast<double>(i);
    *low = Within(static_cast<int64_t>(::floor(at)));
    *high = Within(static_cast<int64_t>(::ceil(at)));
    *share = static_cast<float>(at - static_cast<double>(*low));
  }
  SPECATTN_HOST_DEVICE int64_t Nearest(int64_t i) const {
    const double at = ratio * (half ? static_cast<double>(i) + 0.5 : static_cast<double>(i));
    return Within(static_cast<int64_t>(align ? ::round(at) : ::floor(at)));
  }
  SPECATTN_HOST_DEVICE int64_t Within(int64_t i) const { return i < 0 ? 0 : (i < in ? i : in - 1); }
};

// The axis that maps `out` pixels to `in` pixels. attrs: those of Resize.
inline ResizeAxis AxisOf(int64_t in, int64_t out, const double* attrs) {
  const bool align = attrs[1] != 0;
  const int64_t less = align && out > 1 ? 1 : 0;
  const double ratio = out > 0 ? static_cast<double>(in - less) / static_cast<double>(out - less) : 1;
  return {in, out, ratio, align, attrs[2] != 0};
}

struct ResizeCall {
  int64_t batch = 0, channels = 0;
  bool bilinear = false;
  ResizeAxis rows, columns;
};

inline Status CheckResize(const Args& args, ResizeCall* call) {
  SPECATTN_RETURN_IF_ERROR(CheckCounts("Resize", args, 1, 1, 3));
  const Tensor &x = args.inputs[0], &y = args.outputs[0];
  SPECATTN_CHECK(x.rank == 4 && y.rank == 4 && x.dims[0] == y.dims[0] && x.dims[3] == y.dims[3],
                 "[Resize] x and y must be [B,H,W,C] of one B and C but have ranks %d and %d", x.rank,
                 y.rank);
  call->bilinear = args.attrs[0] != 0;
  SPECATTN_CHECK(
      x.dtype == y.dtype && (x.dtype == DType::kFloat32 || (x.dtype == DType::kInt32 && !call->bilinear)),
      "[Resize] x and y must be float32, or int32 if not bilinear, but have %s and %s", NameOf(x.dtype),
      NameOf(y.dtype));
  SPECATTN_CHECK(x.size() > 0 || y.size() == 0, "[Resize] there are no pixels to make %lld elements of",
                 static_cast<long long>(y.size()));
  call->batch = x.dims[0];
  call->channels = x.dims[3];
  call->rows = AxisOf(x.dims[1], y.dims[1], args.attrs);
  call->columns = AxisOf(x.dims[2], y.dims[2], args.attrs);
  return Ok();
}

}  // namespace
}  // namespace specattn

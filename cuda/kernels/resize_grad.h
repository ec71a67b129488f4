// ResizeGrad: the gradient of scaled images with respect to the images (ResizeBilinearGrad, ResizeNearestNeighborGrad).
//
//   dx[b, h, w, c] = sum of dy[b, i, j, c] times the weight that pixel (h, w) has in pixel (i, j) of the scaled image
//
// inputs   dy [B,H',W',C] float32
// attrs    bilinear, align, half: those of Resize
// outputs  dx [B,H,W,C] float32
//
// A sum adds pixels of dy in their order.
#pragma once
#include "kernels/resize.h"

namespace specattn {
namespace {

// The gradient along one axis: which pixels of dy a pixel of dx takes numbers from.
struct ResizeGradAxis {
  ResizeAxis axis;
  bool bilinear = false;

  // The weight of pixel `from` of dx in pixel `i` of dy.
  SPECATTN_HOST_DEVICE float Weight(int64_t i, int64_t from) const {
    if (!bilinear) return axis.Nearest(i) == from ? 1.0f : 0.0f;
    int64_t low, high;
    float share;
    axis.Around(i, &low, &high, &share);
    return (low == from ? 1.0f - share : 0.0f) + (high == from ? share : 0.0f);
  }
  // Sets [*begin, *end) to the pixels of dy in which pixel `from` of dx has a weight.
  SPECATTN_HOST_DEVICE void Range(int64_t from, int64_t* begin, int64_t* end) const {
    *begin = FirstAbove(from - 1, true);
    *end = FirstAbove(from, false);
  }

 private:
  // The first pixel of dy whose last (or first) pixel of dx lies after `from`. Pixels of dx ascend with those of dy.
  SPECATTN_HOST_DEVICE int64_t FirstAbove(int64_t from, bool last) const {
    int64_t begin = 0, end = axis.out;
    while (begin < end) {
      const int64_t middle = begin + (end - begin) / 2;
      int64_t low = 0, high = 0;
      float share;
      if (bilinear) {
        axis.Around(middle, &low, &high, &share);
      } else {
        low = high = axis.Nearest(middle);
      }
      if ((last ? high : low) > from) {
        end = middle;
      } else {
        begin = middle + 1;
      }
    }
    return begin;
  }
};

struct ResizeGradCall {
  int64_t batch = 0, channels = 0;
  ResizeGradAxis rows, columns;
};

inline Status CheckResizeGrad(const Args& args, ResizeGradCall* call) {
  SPECATTN_RETURN_IF_ERROR(CheckCounts("ResizeGrad", args, 1, 1, 3));
  const Tensor &dy = args.inputs[0], &dx = args.outputs[0];
  SPECATTN_RETURN_IF_ERROR(CheckDType("ResizeGrad", "dy", dy, DType::kFloat32));
  SPECATTN_RETURN_IF_ERROR(CheckDType("ResizeGrad", "dx", dx, DType::kFloat32));
  SPECATTN_CHECK(dy.rank == 4 && dx.rank == 4 && dx.dims[0] == dy.dims[0] && dx.dims[3] == dy.dims[3],
                 "[ResizeGrad] dy and dx must be [B,H,W,C] of one B and C but have %s and %s",
                 ShapeText(dy.dims, dy.rank).text, ShapeText(dx.dims, dx.rank).text);
  const bool bilinear = args.attrs[0] != 0;
  *call = {dx.dims[0], dx.dims[3], {}, {}};
  call->rows = {AxisOf(dx.dims[1], dy.dims[1], args.attrs), bilinear};
  call->columns = {AxisOf(dx.dims[2], dy.dims[2], args.attrs), bilinear};
  return Ok();
}

}  // namespace
}  // namespace specattn

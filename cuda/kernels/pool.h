// Pool: the largest element, or the mean, of each window of images (MaxPool, AvgPool). Places outside of an image do not count.
//
//   y[b, i, j, c] = max or mean of x[b, h, w, c] over the pixels (h, w) that window (i, j) covers
//
// inputs   x [B,H,W,C] float32, or int32 for the largest element
// attrs    mean: 1 for the mean, 0 for the largest element
//          then height and width of the filter; its strides; its dilations; the padding above and left of the images
// outputs  y [B,H',W',C]: x's dtype
//
// NaN does not count in the largest element, which is the lowest number of the dtype (-infinity for float32) where nothing
// counts. A mean is summed in float64.
#pragma once
#include <cmath>

#include "core/windows.h"

namespace specattn {
namespace {

// A number that is not above any number of T.
template <class T>
SPECATTN_HOST_DEVICE constexpr T Lowest();
template <>
SPECATTN_HOST_DEVICE constexpr float Lowest<float>() {
  return -INFINITY;
}
template <>
SPECATTN_HOST_DEVICE constexpr int32_t Lowest<int32_t>() {
  return INT32_MIN;
}

inline Status CheckPool(const Args& args, bool* mean, Windows* windows) {
  SPECATTN_RETURN_IF_ERROR(CheckCounts("Pool", args, 1, 1, 1 + kWindowAttrs));
  const Tensor &x = args.inputs[0], &y = args.outputs[0];
  *mean = args.attrs[0] != 0;
  SPECATTN_CHECK(x.dtype == DType::kFloat32 || (x.dtype == DType::kInt32 && !*mean),
                 "[Pool] x must be float32, or int32 for the largest element, but is %s", NameOf(x.dtype));
  SPECATTN_RETURN_IF_ERROR(CheckWindows("Pool", x, y, args.attrs + 1, windows));
  return CheckTensor("Pool", "y", y, x.dtype, {x.dims[0], kAnySize, kAnySize, x.dims[3]});
}

}  // namespace
}  // namespace specattn

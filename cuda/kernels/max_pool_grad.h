// MaxPoolGrad: the gradient of the largest element of each window (MaxPool), which belongs to the first such element.
//
//   dx[b, h, w, c] = sum of dy[b, i, j, c] over the windows (i, j) whose first largest element of channel c is pixel (h, w)
//
// inputs   dy [B,H',W',C] float32; x [B,H,W,C] float32
// attrs    height and width of the filter; its strides; its dilations; the padding above and left of the images
// outputs  dx [B,H,W,C] float32
//
// A window without a number above -infinity (all NaN, or outside of the image) has no largest element.
#pragma once
#include "core/windows.h"

namespace specattn {
namespace {

inline Status CheckMaxPoolGrad(const Args& args, Windows* windows) {
  SPECATTN_RETURN_IF_ERROR(CheckCounts("MaxPoolGrad", args, 2, 1, kWindowAttrs));
  const Tensor &dy = args.inputs[0], &x = args.inputs[1], &dx = args.outputs[0];
  SPECATTN_RETURN_IF_ERROR(CheckWindows("MaxPoolGrad", x, dy, args.attrs, windows));
  SPECATTN_RETURN_IF_ERROR(CheckDType("MaxPoolGrad", "x", x, DType::kFloat32));
  SPECATTN_RETURN_IF_ERROR(
      CheckTensor("MaxPoolGrad", "dy", dy, DType::kFloat32, {x.dims[0], kAnySize, kAnySize, x.dims[3]}));
  SPECATTN_RETURN_IF_ERROR(
      CheckTensor("MaxPoolGrad", "dx", dx, DType::kFloat32, {x.dims[0], x.dims[1], x.dims[2], x.dims[3]}));
  const int64_t pixels = x.dims[1] * x.dims[2];
  SPECATTN_CHECK(pixels <= INT32_MAX, "[MaxPoolGrad] an image must have at most %d pixels but has %lld",
                 INT32_MAX, static_cast<long long>(pixels));
  return Ok();
}

}  // namespace
}  // namespace specattn

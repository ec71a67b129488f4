// Fold: adds the windows of a filter to the pixels that they cover, the gradient of copying windows out of images
// (Conv2DBackpropInput, DepthwiseConv2dNativeBackpropInput, AvgPoolGrad).
//
//   x[b, h, w, c] = sum of windows[b, i, j, place, c] over all windows (i, j) and places of theirs that cover pixel (h, w)
//
// inputs   windows [B,H',W',P,C] float32; P is the filter's height times its width, or 1 if all places hold the same numbers
// attrs    height and width of the filter; its strides; its dilations; the padding above and left of the images
// outputs  x [B,H,W,C] float32
//
// A sum adds windows in their order.
#pragma once
#include "core/windows.h"

namespace specattn {
namespace {

struct FoldCall {
  Windows windows;
  int64_t places = 1;  // P

  // Where in `windows` the numbers of one place of a window begin.
  SPECATTN_HOST_DEVICE int64_t Offset(int64_t image, int64_t i, int64_t j, int64_t row,
                                      int64_t column) const {
    const int64_t window = (image * windows.rows.out + i) * windows.columns.out + j;
    const int64_t place = places == 1 ? 0 : row * windows.columns.places + column;
    return (window * places + place) * windows.channels;
  }
};

inline Status CheckFold(const Args& args, FoldCall* call) {
  SPECATTN_RETURN_IF_ERROR(CheckCounts("Fold", args, 1, 1, kWindowAttrs));
  const Tensor &windows = args.inputs[0], &x = args.outputs[0];
  SPECATTN_RETURN_IF_ERROR(CheckDType("Fold", "windows", windows, DType::kFloat32));
  SPECATTN_RETURN_IF_ERROR(CheckDType("Fold", "x", x, DType::kFloat32));
  SPECATTN_RETURN_IF_ERROR(CheckWindows("Fold", x, windows, args.attrs, &call->windows));
  const int64_t places = call->windows.rows.places * call->windows.columns.places;
  SPECATTN_CHECK(windows.rank == 5 && windows.dims[4] == x.dims[3] &&
                     (windows.dims[3] == places || windows.dims[3] == 1),
                 "[Fold] windows must be [B,H',W',P,%lld] with %lld or 1 places but have shape %s",
                 static_cast<long long>(x.dims[3]), static_cast<long long>(places),
                 ShapeText(windows.dims, windows.rank).text);
  call->places = windows.dims[3];
  return Ok();
}

}  // namespace
}  // namespace specattn
